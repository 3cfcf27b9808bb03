# Sourced by the gate and by its legs that test on other systems, in the module's directory.

# What the emulators need: commands, each with the package of Debian that has it.
needs_wine='wine:wine wine:wine64 x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64'
needs_qemu='qemu-s390x:qemu-user'

# has COMMAND tells whether it is installed, and what is left out when it is not.
has() { command -v "$1" >/dev/null || { echo "no $1 here: the tests that need it are not run"; return 1; }; }

# installed COMMAND:PACKAGE... installs the packages whose commands are missing.
installed() {
	local pair log status=0 missing=()
	for pair; do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing ${missing[*]}"
	log=$(mktemp)
	{
		apt-get update -q &&
			DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
	} >"$log" 2>&1 || { cat "$log"; status=1; }
	rm -f "$log"
	return $status
}

# compiling COMMAND... runs the go command where all processors are busy anyway: with as many compilers and linkers as
# there are processors, each with one thread and no collections, which takes a fifth less of their time. No more
# than eight, since a container may have less memory and fewer processors than nproc sees.
compilers=$(nproc 2>/dev/null || echo 2)
compiling() { GOGC=off GOMAXPROCS=1 GOFLAGS="$(go env GOFLAGS) -p=$((compilers < 8 ? compilers : 8))" "$@"; }

# linked DIR PACKAGE... links the tests of packages into DIR, for GOOS and GOARCH.
linked() {
	local dir=$1
	shift
	mkdir -p "$dir"
	compiling go test -c -vet=off ${overlay:+-overlay "$overlay"} "${gcflags:--gcflags=all=-dwarf=false}" -ldflags='-s -w' -o "$dir/" "$@"
}

# skipped FILE [ARCH] is the -test.skip of the tests named in FILE: in the first column, or for ARCH in the second.
skipped() {
	awk -F'\t' -v arch="${2-}" '
		/^#/ || !NF { next }
		arch != "" && $1 != "all" && $1 != arch { next }
		{ name = arch == "" ? $1 : $2; gsub("/", "$/^", name); printf "%s^%s$", sep, name; sep = "|" }' "$1"
}

# ran DIR SKIP PACKAGE... runs the tests that were linked into DIR, each in the directory of its package, with
# $runner. What has no tests for the system is not there.
ran() {
	local dir=$1 skip=$2 packages package name program from status=0
	shift 2
	packages=$(go list -f '{{.Dir}}' "$@") || return 1
	for package in $packages; do
		name=.${package#"$PWD"}
		program=$dir/$(basename "$package").test
		[ -e "$program" ] || program=$program.exe
		[ -e "$program" ] || continue
		from=$SECONDS
		# One that hangs must not hang the leg: the test's own limit comes first. 9 is the lock of .ci/wine.
		if (cd "$package" && timeout 400 $runner "$program" -test.short -test.timeout=360s ${skip:+-test.skip="$skip"} </dev/null 9>&-); then
			echo "ok  $name, $((SECONDS - from)) s"
		else
			echo "FAIL $name"
			status=1
		fi
	done
	return $status
}
