// Package lua runs Redis' scripts inside a replicated state machine: the same
// script with the same input and the same replies of its commands does the
// same, and stops at the same place, on every node.
//
// It is Lua 5.1 as Redis 7.0 has it, with redis, cjson, cmsgpack, struct and
// bit, compared byte by byte with redis-server in the tests: replies, texts of
// errors, the order in which pairs walks a table, the length of an array with
// holes, how numbers look, the sequence of math.random.
//
// A script is parsed once, into a tree whose nodes evaluate themselves. An
// interpreter of our own, because an existing one, gopher-lua, cannot be held:
// in it t[67108862]=1 is one instruction that allocates 6 GB and takes 16 s,
// which nothing outside sees, and "not not not ... 1" in a source overflows
// Go's stack, which ends the process, and after a restart that replays the log
// ends it again.
//
// # Bounds
//
// A script has a number of steps and of bytes (see Limits). Both are counted
// where the work is done, never measured:
//
//   - A statement counts the nodes of its tree, a loop those of its condition
//     each time around, a call 4 more, an error 100 and the depth at which it
//     is raised.
//   - Library functions count what they go through: a match each step of the
//     matcher, a sort each comparison, a search of a table's chain each node
//     beyond the first few, a table that grows or is walked its places, cjson
//     and cmsgpack each value, an elementary function 120; comparing, hashing
//     and copying bytes one for each 256.
//   - Strings, tables, closures, captured variables, arguments of commands,
//     their replies and the script's own reply are counted in bytes before
//     they are allocated. What is dropped is counted on, as when it is dropped
//     is for Go's collector to say; a table or buffer that grows gives back
//     its old place.
//
// At a bound a panic that nothing in Lua can catch ends the script, and Run
// returns ErrBound: the caller undoes what the script did. Ten million steps
// are a tenth of a second to half a second.
//
// Go's stack is bounded too: sources nest to 195 levels, calls as deep as in
// Redis (16,383, or less where their trees are deep; 199 through native code,
// each with its error of Lua, which a script may catch), patterns to 5,000,
// data of cjson and cmsgpack to 128, replies to 7,994.
//
// # Determinism
//
// There is no clock, no randomness but a generator that begins with the same
// state in each script, no addresses (tables and functions have numbers), and
// no map that is walked. Sums are IEEE's; products are kept from being fused
// with them; what processors round or convert differently (elementary
// functions, numbers out of range, the sign of NaN) is computed here.
//
// # What differs from Redis
//
//   - No coroutines, and string.dump refuses: there is no bytecode.
//   - The bounds above, where Redis has a time after which one may kill a
//     script; sources longer than MaxSource are refused.
//   - cjson nests to 128 instead of 1,000, and its options, the seed of
//     math.random and the metatable of strings, which is read-only, do not go
//     from one script to the next.
//   - collectgarbage and gcinfo say 0; redis.log does nothing;
//     redis.breakpoint and redis.debug are as without the debugger.
//   - NaN is always written -nan. Redis tells its sign, which for 0/0 differs
//     between processors.
//   - -0 stays what it is. In Lua 5.1 the constants of a function that are equal
//     are one, so that a 0 before it makes it 0, and it makes a 0 after it -0.
//   - An error with a table that has no err is an error reply; it ends
//     redis-server 7.0.15.
//   - What a script reads from a table or function by its address is a number
//     of the same length.
package lua
