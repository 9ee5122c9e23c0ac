package keyspace

import "github.com/huddlecache/huddle/cluster/machine"

// What tests outside the package see of its inside.
var (
	SipHash       = sipHash
	DecodeCommand = decodeCommand
	ParseInt      = parseInt
)

// PutZeros stores n zeros under key, with room for more behind them. They take
// no memory as long as nobody looks at them.
func (s *Space) PutZeros(tx *machine.Tx, key string, n int) {
	c := call{space: s, tx: tx, at: tx.Stamp, db: s.dbs[0]}
	c.put(nil, []byte(key), text(make([]byte, n, n+4096)), expiry{})
}
