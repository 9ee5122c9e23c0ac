package lua_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// TestElementaryFunctions compares with Go's, which are right but for the last
// bit or two, and not the same on all processors.
func TestElementaryFunctions(t *testing.T) {
	functions := map[string]func(float64) float64{
		"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
		"exp": math.Exp, "log": math.Log, "log10": math.Log10, "sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh,
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	e := lua.New()
	for name, f := range functions {
		s, err := e.Compile([]byte("return string.format('%.17g',math." + name + "(ARGV[1]))"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			x := (random.Float64() - 0.5) * math.Pow(10, float64(i%5-2))
			if strings.HasPrefix(name, "log") {
				x = math.Abs(x)
			}
			got, want := numberOf(t, s, x), f(x)
			if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > 1e-14*math.Abs(want) {
				t.Errorf("%s(%v) = %v, want %v", name, x, got, want)
			}
		}
	}
}

func TestPower(t *testing.T) {
	s, err := lua.New().Compile([]byte("return string.format('%.17g',ARGV[1]^ARGV[2])"))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		x, y := random.Float64()*100, random.IntN(200)-100
		if got, want := numberOf(t, s, x, float64(y)), wholePower(x, y); math.Abs(got-want) > 2.3e-16*want {
			t.Errorf("%v^%v = %v, want %v", x, y, got, want)
		}
		// The root of a power, which takes the other way.
		if got := numberOf(t, s, numberOf(t, s, x, 3), 1.0/3); math.Abs(got-x) > 1e-14*x {
			t.Errorf("%v^3^(1/3) = %v", x, got)
		}
	}
	for _, c := range [][3]float64{{2, 10, 1024}, {10, 15, 1e15}, {2, -1, 0.5}, {-2, 3, -8}, {9, 0.5, 3}, {2, 1023, 0x1p1023}, {10, 22, 1e22}, {0, 0, 1}, {2, 1024, math.Inf(1)}} {
		if got := numberOf(t, s, c[0], c[1]); got != c[2] {
			t.Errorf("%v^%v = %v, want %v", c[0], c[1], got, c[2])
		}
	}
}

// wholePower multiplies in many bits.
func wholePower(x float64, y int) float64 {
	const bits = 500
	p := new(big.Float).SetPrec(bits).SetInt64(1)
	for range max(y, -y) {
		p.Mul(p, big.NewFloat(x))
	}
	if y < 0 {
		p.Quo(big.NewFloat(1).SetPrec(bits), p)
	}
	n, _ := p.Float64()
	return n
}

func numberOf(t *testing.T, s *lua.Script, args ...float64) float64 {
	t.Helper()
	var texts []string
	for _, arg := range args {
		texts = append(texts, fmt.Sprintf("%.17g", arg))
	}
	reply, err := s.Run(silence{}, lua.Input{Args: bytesOf(texts), Proto: 2}, lua.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(string(reply), "\r\n")[1]
	n, err := strconv.ParseFloat(strings.TrimPrefix(text, "-nan"), 64)
	if text == "-nan" {
		return math.NaN()
	}
	if err != nil {
		t.Fatalf("%q: %v", reply, err)
	}
	return n
}

// TestNothingIsFused compiles for processors that could multiply and add at
// once, with another result in the last bit: only twoProduct may.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package for other processors")
	}
	path, err := exec.LookPath("go")
	if err != nil {
		t.Skip("SKIPPED: no go to compile with")
	}
	fused := regexp.MustCompile(`(\w+\.go):(\d+)\)\s.*\b(V?FN?M(ADD|SUB)\w*)\b`)
	for _, env := range []string{"GOARCH=arm64", "GOARCH=amd64 GOAMD64=v3"} {
		cmd := exec.Command(path, "build", "-gcflags=-S", "-o", os.DevNull, ".")
		cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), strings.Fields(env)...)
		listing, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %.500s", err, listing)
		}
		found := 0
		for _, m := range fused.FindAllStringSubmatch(string(listing), -1) {
			if m[1] != "exact.go" || !isTwoProduct(t, m[2]) {
				t.Errorf("%s: %s:%s has %s", env, m[1], m[2], m[3])
			}
			found++
		}
		if found == 0 {
			t.Errorf("%s: found none at all, not even those of twoProduct", env)
		}
	}
}

// isTwoProduct reports whether a line of exact.go calls math.FMA.
func isTwoProduct(t *testing.T, line string) bool {
	t.Helper()
	text, err := os.ReadFile("exact.go")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(strings.Split(string(text), "\n")[n-1], "math.FMA(")
}
