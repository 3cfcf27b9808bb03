package sys

import "testing"

func TestMemory(t *testing.T) {
	if n := Memory(); n < 1<<20 {
		t.Errorf("the machine has %d bytes", n)
	}
	files := map[string]string{
		"/a/b/memory.max":                      "max\n",
		"/a/memory.max":                        "500\n",
		"/memory.max":                          "700\n",
		"/memory/x/memory.limit_in_bytes":      "300\n",
		"/memory/memory.limit_in_bytes":        "9223372036854771712\n",
		"/memory/memory.max":                   "1\n",
		"/memory/x/cpu/memory.limit_in_bytes":  "2\n",
		"/memory/other/memory.limit_in_bytes":  "3\n",
		"/unified/memory.limit_in_bytes":       "4\n",
		"/memory/x/memory.soft_limit_in_bytes": "5\n",
	}
	for cgroups, want := range map[string]int64{
		"":                                     1000,
		"0::/\n":                               700,
		"0::/a/b\n":                            500,
		"0::/gone\n":                           700,
		"0::/../..\n":                          700,
		"4:memory:/x\n3:cpuset:/other\n":       300,
		"4:cpu,memory:/x\n0::/a\n":             300,
		"4:cpumemory:/x\n":                     1000,
		"4:memory:/\n":                         1000,
		"without a colon\n4:memory:/x/cpu:odd": 300,
	} {
		if got := cgroupLimit(cgroups, func(name string) string { return files[name] }, 1000); got != want {
			t.Errorf("%q: %d, want %d", cgroups, got, want)
		}
	}
}
