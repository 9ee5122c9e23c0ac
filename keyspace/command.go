package keyspace

import (
	"encoding/binary"
	"errors"
)

// commandVersion is the first byte of a command in the log.
const commandVersion = 1

// errMalformed is what decodeCommand says of bytes that AppendCommand did not
// make.
var errMalformed = errors.New("malformed command")

// AppendCommand appends to dst the command that args are, as the log holds it,
// and returns the longer slice. args[0] is the command's name in any case, db
// the database from 0 to 15, and proto the RESP version of the reply, 2 or 3.
//
//	byte    1, the version of this format
//	byte    proto
//	byte    db
//	uvarint number of arguments, at least 1
//	for each argument:
//	  uvarint length
//	  bytes
func AppendCommand(dst []byte, db, proto int, args [][]byte) []byte {
	dst = append(dst, commandVersion, byte(proto), byte(db))
	dst = binary.AppendUvarint(dst, uint64(len(args)))
	for _, arg := range args {
		dst = binary.AppendUvarint(dst, uint64(len(arg)))
		dst = append(dst, arg...)
	}
	return dst
}

// decodeCommand reads what AppendCommand wrote. The arguments are appended to
// into and point into data.
func decodeCommand(into [][]byte, data []byte) (db, proto int, args [][]byte, err error) {
	if len(data) < 4 || data[0] != commandVersion {
		return 0, 0, nil, errMalformed
	}
	proto, db = int(data[1]), int(data[2])
	count, rest, ok := cutUvarint(data[3:])
	if !ok || proto != 2 && proto != 3 || db >= Databases {
		return 0, 0, nil, errMalformed
	}
	// Each argument takes a byte at least, which bounds what is allocated.
	if count == 0 || count > uint64(len(rest)) {
		return 0, 0, nil, errMalformed
	}
	args = into
	if count > uint64(cap(args)) {
		args = make([][]byte, 0, count)
	}
	for range count {
		var n uint64
		n, rest, ok = cutUvarint(rest)
		if !ok || n > uint64(len(rest)) {
			return 0, 0, nil, errMalformed
		}
		args = append(args, rest[:n:n])
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return 0, 0, nil, errMalformed
	}
	return db, proto, args, nil
}

func cutUvarint(data []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(data)
	if size <= 0 {
		return 0, nil, false
	}
	return n, data[size:], true
}
