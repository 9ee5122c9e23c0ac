package resp_test

import (
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/huddlecache/huddle/server/resp"
)

func TestAppend(t *testing.T) {
	const two, three = resp.Proto2, resp.Proto3
	tests := []struct {
		name, got, want string
	}{
		{"simple", string(resp.AppendSimple(nil, "OK")), "+OK\r\n"},
		{"error", string(resp.AppendError(nil, "ERR a\r\n+OK")), "-ERR a  +OK\r\n"},
		{"int", string(resp.AppendInt(nil, -12)), ":-12\r\n"},
		{"bulk", string(resp.AppendBulk(nil, "a\r\n")), "$3\r\na\r\n\r\n"},
		{"null", string(resp.AppendNull(resp.AppendNull(nil, two), three)), "$-1\r\n_\r\n"},
		{"null array", string(resp.AppendNullArray(resp.AppendNullArray(nil, two), three)), "*-1\r\n_\r\n"},
		{"array", string(resp.AppendArray(nil, 2)), "*2\r\n"},
		{"map", string(resp.AppendMap(resp.AppendMap(nil, two, 3), three, 3)), "*6\r\n%3\r\n"},
		{"set", string(resp.AppendSet(resp.AppendSet(nil, two, 3), three, 3)), "*3\r\n~3\r\n"},
		{"push", string(resp.AppendPush(resp.AppendPush(nil, two, 3), three, 3)), "*3\r\n>3\r\n"},
		{"double", string(resp.AppendDouble(resp.AppendDouble(nil, two, 1.5), three, 1.5)), "$3\r\n1.5\r\n,1.5\r\n"},
		{"whole double", string(resp.AppendDouble(nil, three, 1761234567890)), ",1761234567890\r\n"},
		{"infinity", string(resp.AppendDouble(resp.AppendDouble(nil, three, math.Inf(1)), three, math.Inf(-1))), ",inf\r\n,-inf\r\n"},
		{"bool", string(resp.AppendBool(resp.AppendBool(nil, three, true), three, false)), "#t\r\n#f\r\n"},
		{"bool in 2", string(resp.AppendBool(resp.AppendBool(nil, two, true), two, false)), ":1\r\n:0\r\n"},
		{"verbatim", string(resp.AppendVerbatim(resp.AppendVerbatim(nil, two, "txt", "hi"), three, "txt", "hi")), "$2\r\nhi\r\n=6\r\ntxt:hi\r\n"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
}

func TestReplies(t *testing.T) {
	tests := []struct {
		in   string
		want resp.Value
	}{
		{"+OK\r\n", resp.Value{Kind: resp.Simple, Text: "OK"}},
		{"-ERR no\r\n", resp.Value{Kind: resp.Error, Text: "ERR no"}},
		{":-5\r\n", resp.Value{Kind: resp.Int, Int: -5}},
		{"$3\r\na\r\n\r\n", resp.Value{Kind: resp.Bulk, Text: "a\r\n"}},
		{"$-1\r\n", resp.Value{Kind: resp.Bulk, Null: true}},
		{"*-1\r\n", resp.Value{Kind: resp.Array, Null: true}},
		{"_\r\n", resp.Value{Kind: resp.Null}},
		{"#t\r\n", resp.Value{Kind: resp.Bool, Int: 1}},
		{",1.5\r\n", resp.Value{Kind: resp.Double, Text: "1.5", Float: 1.5}},
		{",inf\r\n", resp.Value{Kind: resp.Double, Text: "inf", Float: math.Inf(1)}},
		{"(123456789012345678901234567890\r\n", resp.Value{Kind: resp.BigNumber, Text: "123456789012345678901234567890"}},
		{"!5\r\nERR a\r\n", resp.Value{Kind: resp.BulkError, Text: "ERR a"}},
		{"=6\r\ntxt:hi\r\n", resp.Value{Kind: resp.Verbatim, Text: "txt:hi"}},
		{"*0\r\n", resp.Value{Kind: resp.Array}},
		{"%1\r\n+a\r\n*1\r\n:1\r\n", resp.Value{Kind: resp.Map, Elems: []resp.Value{
			{Kind: resp.Simple, Text: "a"},
			{Kind: resp.Array, Elems: []resp.Value{{Kind: resp.Int, Int: 1}}},
		}}},
		{"~1\r\n_\r\n", resp.Value{Kind: resp.Set, Elems: []resp.Value{{Kind: resp.Null}}}},
		{">1\r\n_\r\n", resp.Value{Kind: resp.Push, Elems: []resp.Value{{Kind: resp.Null}}}},
	}
	for _, test := range tests {
		r := resp.NewReplyReader(iotest.OneByteReader(strings.NewReader(test.in)))
		got, err := r.Read()
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %+v, %v, want %+v", test.in, got, err, test.want)
		}
		if again := string(got.Append(nil)); again != test.in {
			t.Errorf("appended: got %q, want %q", again, test.in)
		}
		if _, err := r.Read(); err != io.EOF {
			t.Errorf("%q: got %v behind it, want EOF", test.in, err)
		}
	}
}

func TestWrongReplies(t *testing.T) {
	tests := []struct {
		in   string
		want error
	}{
		{"", io.EOF},
		{"+OK", io.ErrUnexpectedEOF},
		{"*1\r\n", io.ErrUnexpectedEOF},
		{"$5\r\nab", io.ErrUnexpectedEOF},
		{"\r\n", resp.ErrReply},
		{"+OK\n", resp.ErrReply},
		{"?\r\n", resp.ErrReply},
		{":x\r\n", resp.ErrReply},
		{",x\r\n", resp.ErrReply},
		{"#x\r\n", resp.ErrReply},
		{"_x\r\n", resp.ErrReply},
		{"$-2\r\n", resp.ErrReply},
		{"$1\r\nabc", resp.ErrReply},
		{"$536870913\r\n", resp.ErrReply},
		{"*-2\r\n", resp.ErrReply},
		{"%-1\r\n", resp.ErrReply},
		{"*5000000\r\n", resp.ErrReply},
		{strings.Repeat("*1\r\n", 100), resp.ErrReply},
		{strings.Repeat("+", 10_000), resp.ErrReply},
	}
	for _, test := range tests {
		if _, err := resp.NewReplyReader(strings.NewReader(test.in)).Read(); !errors.Is(err, test.want) {
			t.Errorf("%.40q: got %v, want %v", test.in, err, test.want)
		}
	}
}

func TestNullsAndErrors(t *testing.T) {
	for _, v := range []resp.Value{{Kind: resp.Null}, {Kind: resp.Bulk, Null: true}, {Kind: resp.Array, Null: true}} {
		if !v.IsNull() || v.Err() != nil {
			t.Errorf("%+v: got IsNull %t, Err %v, want true, nil", v, v.IsNull(), v.Err())
		}
	}
	if v := (resp.Value{Kind: resp.Error, Text: "ERR a"}); v.IsNull() || v.Err() == nil || v.Err().Error() != "ERR a" {
		t.Errorf("%+v: got IsNull %t, Err %v, want false, ERR a", v, v.IsNull(), v.Err())
	}
}

func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n-ERR a\r\n:1\r\n", "%1\r\n$1\r\na\r\n,1.5\r\n", "*2\r\n_\r\n#t\r\n", "*-1\r\n$-1\r\n",
		"=6\r\ntxt:hi\r\n", "~1\r\n>1\r\n!3\r\nERR\r\n", "$500000000\r\n", "*4000000\r\n", "%2000000\r\n", ",nan\r\n(12\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := resp.NewReplyReader(strings.NewReader(string(in)))
		for {
			v, err := r.Read()
			if err != nil {
				break
			}
			wire := string(v.Append(nil))
			again, err := resp.NewReplyReader(strings.NewReader(wire)).Read()
			if err != nil || string(again.Append(nil)) != wire {
				t.Errorf("sent again: got %+v, %v, want %+v", again, err, v)
			}
		}
		runtime.ReadMemStats(&after)
		if took, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+10_000*len(in)); took > most {
			t.Errorf("got %d bytes allocated for %d, want at most %d", took, len(in), most)
		}
	})
}
