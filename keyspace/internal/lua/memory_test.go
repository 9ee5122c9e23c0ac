package lua_test

import (
	"fmt"
	"strconv"
	"strings"
)

// A memory is a host with the few commands that tests need.
type memory struct {
	m     map[string]string
	calls int
}

func (h *memory) HasCommand(name string) bool {
	return strings.Contains(" get set del incr ", " "+name+" ")
}

func (h *memory) Call(args [][]byte, proto int) []byte {
	h.calls++
	if h.m == nil {
		h.m = map[string]string{}
	}
	name, key := strings.ToLower(string(args[0])), ""
	if !h.HasCommand(name) {
		return []byte("-ERR Unknown Redis command called from script\r\n")
	}
	if len(args) < 2 || name == "set" && len(args) < 3 {
		return []byte("-ERR Wrong number of args calling Redis command from script\r\n")
	}
	key = string(args[1])
	v, found := h.m[key]
	switch name {
	case "get":
		if !found && proto == 3 {
			return []byte("_\r\n")
		}
		if !found {
			return []byte("$-1\r\n")
		}
		return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(v), v)
	case "set":
		h.m[key] = string(args[2])
		return []byte("+OK\r\n")
	case "del":
		delete(h.m, key)
		if found {
			return []byte(":1\r\n")
		}
		return []byte(":0\r\n")
	}
	n, err := strconv.Atoi(v)
	if found && err != nil {
		return []byte("-ERR value is not an integer or out of range\r\n")
	}
	h.m[key] = strconv.Itoa(n + 1)
	return fmt.Appendf(nil, ":%d\r\n", n+1)
}
