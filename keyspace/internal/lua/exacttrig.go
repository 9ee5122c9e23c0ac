package lua

import (
	"math"
	"math/big"
	"sync"
)

// reduce returns x less a multiple n of pi/2, and n modulo 4.
func reduce(x float64) (r double, n int) {
	const near = 1 << 20
	if math.Abs(x) >= near {
		return reduceFar(x)
	}
	k := math.Floor(x/halfPi.hi + 0.5)
	r = double{x, 0}.add(twoProduct(halfPi.hi, -k)).add(twoProduct(halfPi.lo, -k)).add(double{float64(halfPiRest * -k), 0})
	return r, int(k) & 3
}

// prec is the number of bits of which even the largest number leaves enough.
const prec = 1300

// farPi is pi to so many bits.
var farPi = sync.OnceValue(func() *big.Float { return bigPi(prec) })

// reduceFar is reduce for numbers that need more bits of pi.
func reduceFar(x float64) (r double, n int) {
	half := new(big.Float).SetPrec(prec).Quo(farPi(), big.NewFloat(2))
	q := new(big.Float).SetPrec(prec).Quo(new(big.Float).SetPrec(prec).SetFloat64(x), half)
	k, _ := new(big.Float).SetPrec(prec).Add(q, big.NewFloat(math.Copysign(0.5, x))).Int(nil)
	rest := new(big.Float).SetPrec(prec).Mul(half, new(big.Float).SetPrec(prec).SetInt(k))
	rest.Sub(new(big.Float).SetPrec(prec).SetFloat64(x), rest)
	hi, _ := rest.Float64()
	lo, _ := rest.Sub(rest, new(big.Float).SetFloat64(hi)).Float64()
	return double{hi, lo}, int(new(big.Int).And(k, big.NewInt(3)).Int64())
}

// bigPi is pi by Machin's formula, 16 atan(1/5) - 4 atan(1/239).
func bigPi(prec uint) *big.Float {
	const guard = 32
	one := new(big.Int).Lsh(big.NewInt(1), prec+guard)
	pi := new(big.Int).Mul(big.NewInt(16), inverseTangent(one, 5))
	pi.Sub(pi, new(big.Int).Mul(big.NewInt(4), inverseTangent(one, 239)))
	f := new(big.Float).SetPrec(prec).SetInt(pi)
	return f.SetMantExp(f, -int(prec+guard))
}

func inverseTangent(one *big.Int, n int64) *big.Int {
	square := big.NewInt(n * n)
	power := new(big.Int).Quo(one, big.NewInt(n))
	sum := new(big.Int).Set(power)
	for i := int64(1); power.Sign() != 0; i++ {
		power.Quo(power, square)
		term := new(big.Int).Quo(power, big.NewInt(2*i+1))
		if i%2 == 1 {
			term.Neg(term)
		}
		sum.Add(sum, term)
	}
	return sum
}

// sinCos returns both of a number.
func sinCos(x float64) (sin, cos double) {
	r, n := reduce(x)
	square := r.mul(r).neg()
	s, c := r, double{1, 0}
	ts, tc := r, double{1, 0}
	for i := 1.0; i <= 15; i++ {
		tc = tc.mul(square).div(double{2 * i * (2*i - 1), 0})
		c = c.add(tc)
		ts = ts.mul(square).div(double{2 * i * (2*i + 1), 0})
		s = s.add(ts)
	}
	switch n {
	case 1:
		return c, s.neg()
	case 2:
		return s.neg(), c.neg()
	case 3:
		return c.neg(), s
	}
	return s, c
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func sin(x float64) float64 {
	switch {
	case x == 0:
		return x
	case !isFinite(x):
		return math.NaN()
	}
	s, _ := sinCos(x)
	return s.value()
}

func cos(x float64) float64 {
	if !isFinite(x) {
		return math.NaN()
	}
	_, c := sinCos(x)
	return c.value()
}

func tan(x float64) float64 {
	if !isFinite(x) || x == 0 {
		return sin(x)
	}
	s, c := sinCos(x)
	return s.div(c).value()
}

// atanOf is the arc tangent of y/x for x >= 0, both not too far apart.
func atanOf(y, x double) double {
	flip := math.Abs(y.hi) > x.hi
	t := double{}
	if flip {
		t = x.div(y)
	} else {
		t = y.div(x)
	}
	const halvings = 3
	for range halvings {
		root := t.mul(t).add(double{1, 0}).sqrt()
		t = t.div(root.add(double{1, 0}))
	}
	square, power, sum := t.mul(t).neg(), t, t
	for i := 1; i < 20; i++ {
		power = power.mul(square)
		sum = sum.add(power.div(double{float64(2*i + 1), 0}))
	}
	sum = sum.scale(1 << halvings)
	if !flip {
		return sum
	}
	if y.hi < 0 {
		return halfPi.neg().add(sum.neg())
	}
	return halfPi.add(sum.neg())
}

func atan(x float64) float64 {
	switch {
	case math.IsNaN(x) || x == 0 || math.Abs(x) < 1e-150:
		return x
	case math.Abs(x) > 1e150:
		return math.Copysign(halfPi.hi, x)
	}
	return atanOf(double{x, 0}, double{1, 0}).value()
}

func atan2(y, x float64) float64 {
	if math.IsNaN(x) || math.IsNaN(y) {
		return math.NaN()
	}
	ratio := math.Abs(y / x)
	if y == 0 || x == 0 || math.IsInf(x, 0) || math.IsInf(y, 0) || ratio > 1e150 || ratio < 1e-150 {
		return atan2Edge(y, x)
	}
	a := atanOf(double{y, 0}, double{math.Abs(x), 0})
	if x > 0 {
		return a.value()
	}
	pi := halfPi.scale(2)
	if y < 0 {
		pi = pi.neg()
	}
	return pi.add(a.neg()).value()
}

// atan2Edge is atan2 where it needs no series.
func atan2Edge(y, x float64) float64 {
	isLeft := math.Signbit(x)
	switch {
	case math.IsInf(x, 0) && math.IsInf(y, 0):
		if isLeft {
			return math.Copysign(3*math.Pi/4, y)
		}
		return math.Copysign(math.Pi/4, y)
	case y == 0 || math.IsInf(x, 0) || !math.IsInf(y, 0) && math.Abs(y) < math.Abs(x):
		if isLeft {
			return math.Copysign(math.Pi, y)
		}
		if y == 0 || math.IsInf(x, 0) {
			return math.Copysign(0, y)
		}
		return y / x
	}
	return math.Copysign(math.Pi/2, y)
}

func asin(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.Abs(x) > 1:
		return math.NaN()
	case math.Abs(x) < 1e-9:
		return x + float64(float64(x*x)*x)/6
	}
	return asinOf(x).value()
}

func asinOf(x float64) double {
	root := double{1, 0}.add(twoProduct(x, x).neg()).sqrt()
	return atanOf(double{x, 0}, root)
}

func acos(x float64) float64 {
	if math.IsNaN(x) || math.Abs(x) > 1 {
		return math.NaN()
	}
	return halfPi.add(asinOf(x).neg()).value()
}

// hyperbolic returns half the sum and half the difference of e^x and e^-x.
func hyperbolic(x float64) (cosh, sinh double) {
	m, e := expOf(double{x, 0})
	up := double{math.Ldexp(m.hi, e-1), math.Ldexp(m.lo, e-1)}
	down := double{0.25, 0}.div(up)
	cosh, sinh = up.add(down), up.add(down.neg())
	if math.Abs(x) < 0.3 {
		square, term := twoProduct(x, x), double{x, 0}
		sinh = term
		for i := 1.0; i <= 12; i++ {
			term = term.mul(square).div(double{2 * i * (2*i + 1), 0})
			sinh = sinh.add(term)
		}
	}
	return cosh, sinh
}

func sinh(x float64) float64 {
	switch {
	case math.IsNaN(x) || x == 0 || math.IsInf(x, 0):
		return x
	case math.Abs(x) > 40:
		return math.Copysign(expHalf(math.Abs(x)), x)
	}
	_, s := hyperbolic(x)
	return s.value()
}

func cosh(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case math.Abs(x) > 40:
		return expHalf(math.Abs(x))
	}
	c, _ := hyperbolic(x)
	return c.value()
}

// expHalf is e^x / 2, also where e^x is too large.
func expHalf(x float64) float64 {
	if x > 720 {
		return math.Inf(1)
	}
	m, e := expOf(double{x, 0})
	return math.Ldexp(m.value(), e-1)
}

func tanh(x float64) float64 {
	switch {
	case math.IsNaN(x) || x == 0:
		return x
	case math.Abs(x) > 40:
		return math.Copysign(1, x)
	}
	c, s := hyperbolic(x)
	return s.div(c).value()
}
