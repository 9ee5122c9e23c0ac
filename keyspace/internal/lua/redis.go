package lua

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

func redisLibrary() map[string]native {
	return map[string]native{
		"call":  func(vm *machine, args []value) []value { return vm.redisCall(args, true) },
		"pcall": func(vm *machine, args []value) []value { return vm.redisCall(args, false) },

		"acl_check_cmd": redisACL, "breakpoint": redisBreakpoint, "debug": redisNothing,
		"error_reply": redisErrorReply, "status_reply": redisStatusReply, "log": redisLog,
		"replicate_commands": redisReplicate, "set_repl": redisSetRepl, "setresp": redisSetResp,
		"sha1hex": redisSHA,
	}
}

func redisConstants() map[string]value {
	return map[string]value{
		"LOG_DEBUG": number(0), "LOG_VERBOSE": number(1), "LOG_NOTICE": number(2), "LOG_WARNING": number(3),
		"REPL_NONE": number(0), "REPL_AOF": number(1), "REPL_SLAVE": number(2), "REPL_REPLICA": number(2), "REPL_ALL": number(3),
		"REDIS_VERSION": {ref: constant("7.0.15")}, "REDIS_VERSION_NUM": number(7<<16 | 15),
	}
}

// single makes a table of one field.
func (vm *machine) single(name *str, v value) value {
	t := vm.newTable(0, 1)
	t.setStr(name, v)
	return value{ref: t}
}

// refuse raises an error of Redis' functions, which is a table.
func (vm *machine) refuse(text string) []value {
	vm.raise(vm.single(nameErr, vm.str("ERR "+text)))
	return nil
}

// redisCall executes a command.
func (vm *machine) redisCall(args []value, raises bool) []value {
	err := "ERR Please specify at least one argument for this redis lib call"
	ok := len(args) > 0
	if ok {
		err = "ERR Lua redis lib command arguments must be strings or integers"
		ok = vm.commandOf(args)
	}
	var got value
	if ok {
		reply := vm.host.Call(vm.command, vm.proto)
		r := &replyReader{vm: vm, data: reply}
		got = r.read()
	} else {
		got = vm.single(nameErr, vm.str(err))
	}
	if raises {
		if t, ok := got.ref.(*table); ok && !t.getStr(nameErr).isNil() {
			vm.raise(got)
		}
	}
	return vm.ret1(got)
}

// commandOf writes the arguments of a command into memory of their own.
func (vm *machine) commandOf(args []value) bool {
	total := 0
	for _, a := range args {
		switch s := a.ref.(type) {
		case *str:
			total += len(s.s)
		case isNumber:
			total += 24
		default:
			return false
		}
	}
	const each = 24
	vm.meter.take(total + each*len(args))
	vm.meter.step(10 + len(args))
	vm.meter.data(total)
	buf := make([]byte, 0, total)
	vm.command = vm.command[:0]
	for _, a := range args {
		begin := len(buf)
		if s, ok := a.ref.(*str); ok {
			buf = append(buf, s.s...)
		} else {
			buf = append(buf, formatG(a.num, 17)...)
		}
		vm.command = append(vm.command, buf[begin:len(buf):len(buf)])
	}
	return true
}

func redisErrorReply(vm *machine, args []value) []value {
	s, ok := arg(args, 0).ref.(*str)
	if len(args) != 1 || !ok {
		return vm.ret1(vm.single(nameErr, vm.str("ERR wrong number or type of arguments")))
	}
	return vm.ret1(vm.single(nameErr, vm.str(withCode(strings.TrimPrefix(cutNul(s.s), "-")))))
}

// withCode gives an error of one word the code ERR.
func withCode(text string) string {
	text = strings.TrimRight(text, "\r\n")
	if code, rest, ok := strings.Cut(text, " "); ok {
		return code + " " + strings.Trim(rest, "\r\n")
	}
	return "ERR " + text
}

func redisStatusReply(vm *machine, args []value) []value {
	if _, ok := arg(args, 0).ref.(*str); len(args) != 1 || !ok {
		return vm.ret1(vm.single(nameErr, vm.str("ERR wrong number or type of arguments")))
	}
	return vm.ret1(vm.single(nameOK, args[0]))
}

func redisSHA(vm *machine, args []value) []value {
	if len(args) != 1 {
		return vm.refuse("wrong number of arguments")
	}
	text, _ := args[0].toStr()
	vm.meter.step(len(text) >> 5)
	sum := sha1.Sum([]byte(text))
	return vm.ret1(vm.str(hex.EncodeToString(sum[:])))
}

// redisLog has no effect: nodes apply the same script, and each would log it.
func redisLog(vm *machine, args []value) []value {
	if len(args) < 2 {
		return vm.refuse("redis.log() requires two arguments or more.")
	}
	level, ok := args[0].toNumber()
	if !ok {
		return vm.refuse("First argument must be a number (log level).")
	}
	if n := toInt32(level); n < 0 || n > 3 {
		return vm.refuse("Invalid debug level.")
	}
	return nil
}

func redisSetResp(vm *machine, args []value) []value {
	if len(args) != 1 {
		return vm.refuse("redis.setresp() requires one argument.")
	}
	n, _ := args[0].toNumber()
	version := toInt32(n)
	if version != 2 && version != 3 {
		return vm.refuse("RESP version must be 2 or 3.")
	}
	vm.proto = version
	return nil
}

func redisSetRepl(vm *machine, args []value) []value {
	if len(args) != 1 {
		return vm.refuse("redis.set_repl() requires two arguments.")
	}
	if n, _ := args[0].toNumber(); toInt32(n)&^3 != 0 {
		return vm.refuse("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
	}
	return nil
}

func redisReplicate(vm *machine, _ []value) []value { return vm.ret1(boolean(true)) }

func redisBreakpoint(vm *machine, _ []value) []value { return vm.ret1(boolean(false)) }

func redisNothing(*machine, []value) []value { return nil }

func redisACL(vm *machine, args []value) []value {
	if len(args) == 0 {
		return vm.refuse("Please specify at least one argument for this redis lib call")
	}
	if !vm.commandOf(args) {
		return vm.refuse("Lua redis lib command arguments must be strings or integers")
	}
	if !vm.host.HasCommand(string(vm.command[0])) {
		return vm.refuse("Invalid command passed to redis.acl_check_cmd()")
	}
	return vm.ret1(boolean(true))
}
