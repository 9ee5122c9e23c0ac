package keyspace

// scriptCommands are the commands of scripts.
func scriptCommands() []Command {
	return []Command{
		{
			Name: "eval", Arity: -3, Writes: true,
			Flags: []string{"noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"}, Group: "scripting", Since: "2.6.0",
			Summary: "Execute a Lua script server side",
			run:     eval, frees: always, keys: scriptKeys,
		},
		{
			Name: "evalsha", Arity: -3, Writes: true,
			Flags: []string{"noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"}, Group: "scripting", Since: "2.6.0",
			Summary: "Execute a Lua script server side",
			run:     evalsha, frees: always, keys: scriptKeys,
		},
	}
}

// scriptKeys returns the positions of a script's keys.
func scriptKeys(args [][]byte) (keys []int) {
	n, ok := parseInt(args[2])
	if !ok || n < 0 || n > int64(len(args)-3) {
		return nil
	}
	for i := range int(n) {
		keys = append(keys, 3+i)
	}
	return keys
}

const (
	// unlockScript is the script with which phpredis' session handler gives
	// its lock back, byte for byte: clients name it by its digest.
	unlockScript = `if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end`
	unlockDigest = "b70c2384248f88e6b75b9f89241a180f856ad852"

	errNoScript = "NOSCRIPT No matching script. Please use EVAL."
)

// eval runs the one script that is known.
func eval(c *call) {
	keys, args, ok := c.scriptArgs()
	if !ok {
		return
	}
	if string(c.args[1]) != unlockScript {
		c.reply.fail("ERR unsupported script: this release runs only phpredis' session unlock script")
		return
	}
	c.unlock(keys, args)
}

func evalsha(c *call) {
	if len(c.args[1]) != len(unlockDigest) {
		c.reply.fail(errNoScript)
		return
	}
	keys, args, ok := c.scriptArgs()
	if !ok {
		return
	}
	if !isWord(c.args[1], unlockDigest) {
		c.reply.fail(errNoScript)
		return
	}
	c.unlock(keys, args)
}

// scriptArgs parts the arguments of EVAL into KEYS and ARGV.
func (c *call) scriptArgs() (keys, args [][]byte, ok bool) {
	rest := c.args[3:]
	n, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.reply.fail(errNotInteger)
	case n > int64(len(rest)):
		c.reply.fail("ERR Number of keys can't be greater than number of args")
	case n < 0:
		c.reply.fail("ERR Number of keys can't be negative")
	default:
		return rest[:n], rest[n:], true
	}
	return nil, nil, false
}

// unlock is unlockScript: it deletes the first key if that holds the first
// argument.
func (c *call) unlock(keys, args [][]byte) {
	if len(keys) == 0 {
		c.reply.fail("ERR Lua redis lib command arguments must be strings or integers script: " +
			unlockDigest + ", on @user_script:1.")
		return
	}
	e := c.own(keys[0])
	if e != nil && e.value.kind() != kindString {
		c.reply.fail(errWrongType + " script: " + unlockDigest + ", on @user_script:1.")
		return
	}
	if e == nil || len(args) == 0 || string(textOf(e)) != string(args[0]) {
		c.reply.integer(0)
		return
	}
	c.remove(e)
	c.reply.integer(1)
}
