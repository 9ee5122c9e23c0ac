package lua

import "math"

// A double is the sum of two numbers, about 106 bits. Elementary functions are
// computed with it and rounded at the end: nothing is left to the assembly or
// the fused instructions of a processor, and the results are those of a good C
// library but for the rarest last bit.
//
// The conversions of products to float64 forbid fusing.
type double struct{ hi, lo float64 }

var (
	ln2    = double{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56}
	ln10   = double{0x1.26bb1bbb55516p+1, -0x1.f48ad494ea3e9p-53}
	halfPi = double{0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54}
)

// halfPiRest is what halfPi lacks.
const halfPiRest = -0x1.f1976b7ed8fbcp-110

func twoSum(a, b float64) double {
	s := a + b
	t := s - a
	return double{s, (a - (s - t)) + (b - t)}
}

func twoProduct(a, b float64) double {
	p := float64(a * b)
	return double{p, math.FMA(a, b, -p)}
}

func (a double) value() float64 { return a.hi + a.lo }

func (a double) neg() double { return double{-a.hi, -a.lo} }

func (a double) add(b double) double {
	s := twoSum(a.hi, b.hi)
	t := twoSum(a.lo, b.lo)
	s = twoSum(s.hi, s.lo+t.hi)
	return twoSum(s.hi, s.lo+t.lo)
}

func (a double) mul(b double) double {
	p := twoProduct(a.hi, b.hi)
	return twoSum(p.hi, p.lo+(float64(a.hi*b.lo)+float64(a.lo*b.hi)))
}

func (a double) scale(n float64) double { return a.mul(double{n, 0}) }

func (a double) div(b double) double {
	q := a.hi / b.hi
	r := a.add(b.scale(-q))
	q2 := r.hi / b.hi
	r = r.add(b.scale(-q2))
	return twoSum(q, q2).add(double{r.hi / b.hi, 0})
}

func (a double) sqrt() double {
	if a.hi <= 0 {
		return double{}
	}
	s := math.Sqrt(a.hi)
	rest := a.add(twoProduct(s, s).neg())
	return twoSum(s, rest.hi/(2*s))
}

// expOf is e to the power of x, which is not out of range by far.
func expOf(x double) (m double, exponent int) {
	k := math.Floor(x.hi/ln2.hi + 0.5)
	r := x.add(ln2.scale(-k))
	const halvings = 9
	r = double{math.Ldexp(r.hi, -halvings), math.Ldexp(r.lo, -halvings)}
	sum, term := double{1, 0}, double{1, 0}
	for i := 1.0; i <= 10; i++ {
		term = term.mul(r).div(double{i, 0})
		sum = sum.add(term)
	}
	for range halvings {
		sum = sum.mul(sum)
	}
	return sum, int(k)
}

// logOf is the natural logarithm of a positive finite number.
func logOf(x float64) double {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	s := twoSum(m, -1).div(twoSum(m, 1))
	return series(s, 24).scale(2).add(ln2.scale(float64(e)))
}

// series is s + s^3/3 + s^5/5 + ...
func series(s double, terms int) double {
	square, power, sum := s.mul(s), s, s
	for i := 1; i < terms; i++ {
		power = power.mul(square)
		sum = sum.add(power.div(double{float64(2*i + 1), 0}))
	}
	return sum
}

func exp(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > 720:
		return math.Inf(1)
	case x < -760:
		return 0
	}
	m, e := expOf(double{x, 0})
	return math.Ldexp(m.value(), e)
}

func log(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	return logOf(x).value()
}

func log10(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 1) {
		return log(x)
	}
	return logOf(x).div(ln10).value()
}

// power is x^y, with the special cases of C.
func power(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case math.IsNaN(x) || math.IsNaN(y):
		return math.NaN()
	case x == 0 || math.IsInf(x, 0) || math.IsInf(y, 0):
		return math.Pow(x, y) // exact there on all processors
	}
	isWhole := y == math.Floor(y)
	if x < 0 && !isWhole {
		return math.NaN()
	}
	if y == 0.5 {
		return math.Sqrt(x)
	}
	if isWhole && math.Abs(y) <= 64 {
		if p, ok := wholePower(x, int(math.Abs(y))); ok {
			if y < 0 {
				return double{1, 0}.div(p).value()
			}
			return p.value()
		}
	}
	l := logOf(math.Abs(x)).scale(y)
	sign := 1.0
	if x < 0 && math.Mod(y, 2) != 0 {
		sign = -1
	}
	switch {
	case l.hi > 720:
		return sign * math.Inf(1)
	case l.hi < -760:
		return sign * 0
	}
	m, e := expOf(l)
	return sign * math.Ldexp(m.value(), e)
}

// wholePower multiplies, which is exact wherever the result is. It reports
// false if that comes near the ends of the range.
func wholePower(x float64, n int) (double, bool) {
	result, base := double{1, 0}, double{x, 0}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = result.mul(base)
		}
		if n > 1 {
			base = base.mul(base)
		}
	}
	size := math.Abs(result.hi)
	return result, size > 1e-250 && size < 1e250 && math.Abs(base.hi) < 1e290
}
