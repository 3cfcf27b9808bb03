# Functions of the gate's scripts, which source this file in the root of a module.

# What the emulators need: commands, each with the package of Debian that has it.
needs_wine='wine:wine wine:wine64 x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64'
needs_qemu='qemu-s390x:qemu-user'

# need COMMAND:PACKAGE... reports whether the commands are installed. With
# FMMAP_INSTALL=1, which .ci/run -install sets, it installs those that are not.
need() {
	local pair log missing=()
	for pair; do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
	done
	if [ ${#missing[@]} = 0 ]; then
		return 0
	fi
	if [ "${FMMAP_INSTALL-}" != 1 ]; then
		echo "not installed: ${missing[*]} (.ci/run -install does so)"
		return 1
	fi
	echo "installing ${missing[*]}"
	log=$(mktemp)
	if ! apt-get update -q >"$log" 2>&1 ||
		! DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
		cat "$log"
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
	case " ${missing[*]} " in
	*' prometheus '*) service prometheus stop >/dev/null 2>&1 || true ;; # which the package starts
	esac
}

# compiling COMMAND... runs the go command where all processors are busy anyway:
# with as many compilers and linkers as there are processors, each with one
# thread and no collections, which takes a fifth less of their time. No more than
# eight, since a container may have less memory and fewer processors than nproc
# sees.
compilers=$(nproc 2>/dev/null || echo 2)
compiling() {
	GOGC=off GOMAXPROCS=1 GOFLAGS="$(go env GOFLAGS) -p=$((compilers < 8 ? compilers : 8))" "$@"
}

# withtests FIELD PACKAGE... prints a field of each package that has tests. One that
# has none would still reserve the name of its program: the root that of cmd/fmmap.
withtests() {
	go list -f "{{if or .TestGoFiles .XTestGoFiles}}{{.$1}}{{end}}" "${@:2}"
}

# linked DIR PACKAGE... links the tests of packages into DIR, for GOOS and GOARCH.
# $build has further flags.
linked() {
	local dir=$1 packages
	mkdir -p "$dir"
	packages=$(withtests ImportPath "${@:2}") || return 1
	compiling go test -c -vet=off ${build-} "${gcflags:--gcflags=all=-dwarf=false}" -ldflags="-s -w ${ldflags-}" -o "$dir/" $packages
}

# skips FILE PROCESSOR prints the -test.skip of the tests that FILE lists for the
# processor, or for all.
skips() {
	grep -E "^(all|$2)	" "$1" | cut -f 2 | paste -sd '|' -
}

# ran DIR SKIP PACKAGE... runs the tests that were linked into DIR, each in the
# directory of its package, with $runner. What has no tests for the system is not
# there.
ran() {
	local dir=$1 skip=$2 packages package name program from status=0
	shift 2
	packages=$(withtests Dir "$@") || return 1
	for package in $packages; do
		name=.${package#"$PWD"}
		program=$dir/$(basename "$package").test
		[ -e "$program" ] || program=$program.exe
		[ -e "$program" ] || continue
		from=$SECONDS
		# One that hangs must not hang the leg: the test's own limit comes first. 9
		# is the lock of .ci/wine.
		if (cd "$package" && timeout 640 $runner "$program" -test.short -test.timeout=600s ${skip:+-test.skip="$skip"} </dev/null 9>&-); then
			echo "ok  $name, $((SECONDS - from)) s"
		else
			echo "FAIL $name"
			status=1
		fi
	done
	return $status
}
