package lua

func tableLibrary() map[string]native {
	return map[string]native{
		"concat": tableConcat, "foreach": tableForeach, "foreachi": tableForeachi, "getn": tableGetn,
		"insert": tableInsert, "maxn": tableMaxn, "remove": tableRemove, "setn": tableSetn, "sort": tableSort,
	}
}

// rawSetInt stores without handlers.
func (vm *machine) rawSetInt(t *table, i int, v value) {
	if t.readonly {
		vm.failReadonly()
	}
	t.setInt(i, v)
}

func tableConcat(vm *machine, args []value) []value {
	separator := vm.textOr(args, 1, "")
	t := vm.table(args)
	from := vm.intOr(args, 2, 1)
	to := 0
	if arg(args, 3).isNil() {
		to = t.length()
	} else {
		to = vm.int(args, 3)
	}
	b := builder{vm: vm}
	for i := from; i <= to; i++ {
		vm.meter.step(1)
		v := t.getInt(i)
		s, ok := v.toStr()
		if !ok {
			return vm.failCaller("invalid value (%s) at index %d in table for 'concat'", v.typeName(), i)
		}
		b.string(s)
		if i < to {
			b.string(separator)
		}
	}
	return vm.ret1(b.value())
}

func tableForeach(vm *machine, args []value) []value {
	t, f := vm.table(args), vm.function(args, 1)
	for k, v, ok := t.next(value{}); !k.isNil(); k, v, ok = t.next(k) {
		vm.meter.step(1)
		if got := first(vm.callNested(f, k, v)); !got.isNil() {
			return vm.ret1(got)
		}
		_ = ok
	}
	return nil
}

func tableForeachi(vm *machine, args []value) []value {
	t, f := vm.table(args), vm.function(args, 1)
	n := t.length()
	for i := 1; i <= n; i++ {
		if got := first(vm.callNested(f, number(float64(i)), t.getInt(i))); !got.isNil() {
			return vm.ret1(got)
		}
	}
	return nil
}

func tableGetn(vm *machine, args []value) []value {
	return vm.ret1(number(float64(vm.table(args).length())))
}

func tableMaxn(vm *machine, args []value) []value {
	t := vm.table(args)
	most := 0.0
	for k, _, _ := t.next(value{}); !k.isNil(); k, _, _ = t.next(k) {
		vm.meter.step(1)
		if n, ok := k.asNumber(); ok && n > most {
			most = n
		}
	}
	return vm.ret1(number(most))
}

func tableSetn(vm *machine, args []value) []value {
	vm.table(args)
	return vm.failCaller("'setn' is obsolete")
}

func tableInsert(vm *machine, args []value) []value {
	t := vm.table(args)
	end := t.length() + 1
	at := end
	switch len(args) {
	case 2:
	case 3:
		at = vm.int(args, 1)
		end = max(end, at)
		for i := end; i > at; i-- {
			vm.meter.step(1)
			vm.rawSetInt(t, i, t.getInt(i-1))
		}
	default:
		return vm.failCaller("wrong number of arguments to 'insert'")
	}
	vm.rawSetInt(t, at, args[len(args)-1])
	return nil
}

func tableRemove(vm *machine, args []value) []value {
	t := vm.table(args)
	end := t.length()
	at := vm.intOr(args, 1, end)
	if at < 1 || at > end {
		return nil
	}
	removed := t.getInt(at)
	for ; at < end; at++ {
		vm.meter.step(1)
		vm.rawSetInt(t, at, t.getInt(at+1))
	}
	vm.rawSetInt(t, end, value{})
	return vm.ret1(removed)
}

func tableSort(vm *machine, args []value) []value {
	t := vm.table(args)
	n := t.length()
	s := &sorter{vm: vm, t: t}
	if !arg(args, 1).isNil() {
		s.order = vm.function(args, 1)
	}
	s.sort(1, n)
	return nil
}

// A sorter sorts as Lua 5.1 does, so that what compares equal ends in the same
// order: quicksort with the median of three.
type sorter struct {
	vm    *machine
	t     *table
	order value // nil: the operator <
}

func (s *sorter) less(a, b value) bool {
	s.vm.meter.step(2)
	if s.order.isNil() {
		return s.vm.less(a, b)
	}
	return first(s.vm.callNested(s.order, a, b)).isTrue()
}

func (s *sorter) swap(i int, a value, j int, b value) {
	s.vm.rawSetInt(s.t, i, b)
	s.vm.rawSetInt(s.t, j, a)
}

func (s *sorter) sort(low, high int) {
	for low < high {
		a, b := s.t.getInt(low), s.t.getInt(high)
		if s.less(b, a) {
			s.swap(low, a, high, b)
		}
		if high-low == 1 {
			return
		}
		mid := (low + high) / 2
		a, b = s.t.getInt(mid), s.t.getInt(low)
		if s.less(a, b) {
			s.swap(mid, a, low, b)
		} else if b = s.t.getInt(high); s.less(b, a) {
			s.swap(mid, a, high, b)
		}
		if high-low == 2 {
			return
		}
		pivot := s.t.getInt(mid)
		s.swap(mid, pivot, high-1, s.t.getInt(high-1))
		mid = s.partition(low, high, pivot)
		// The smaller part by recursion, which keeps that flat.
		if mid-low < high-mid {
			s.sort(low, mid-1)
			low = mid + 1
		} else {
			s.sort(mid+1, high)
			high = mid - 1
		}
	}
}

func (s *sorter) partition(low, high int, pivot value) int {
	i, j := low, high-1
	for {
		var a, b value
		for i++; ; i++ {
			if a = s.t.getInt(i); !s.less(a, pivot) {
				break
			}
			if i > high {
				s.vm.failCaller("invalid order function for sorting")
			}
		}
		for j--; ; j-- {
			if b = s.t.getInt(j); !s.less(pivot, b) {
				break
			}
			if j < low {
				s.vm.failCaller("invalid order function for sorting")
			}
		}
		if j < i {
			break
		}
		s.swap(i, a, j, b)
	}
	s.swap(high-1, s.t.getInt(high-1), i, s.t.getInt(i))
	return i
}
