package testutil

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// SeedEnv is the environment variable that repeats a randomised test: the seed
// it printed.
const SeedEnv = "FMMAP_SEED"

// Seed returns the seed of a randomised test, another one in each run unless
// [SeedEnv] has one, and prints it when the test fails.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(SeedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatalf("%s: %v", SeedEnv, err)
		}
	}
	t.Logf("%s=%d repeats this", SeedEnv, seed)
	return seed
}

// Rand returns random numbers from [Seed]. They are for one goroutine.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Seed(t), 0))
}
