package sessions_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/sessions"
)

// TestMergePatch has the examples of RFC 7396, appendix A, in its order, and
// the one of its section 3; then what is ours to say.
func TestMergePatch(t *testing.T) {
	tests := []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		{
			`{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}`,
			`{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}`,
			`{"author":{"givenName":"John"},"content":"This will be unchanged","phoneNumber":"+01-123-456-7890","tags":["example"],"title":"Hello!"}`,
		},

		{`{"a":{"x":1}}`, `{"a":{"y":2}}`, `{"a":{"x":1,"y":2}}`},
		{`{"a":1}`, `{"a":{"b":{"c":null}}}`, `{"a":{"b":{}}}`},
		{`{"a":[null,{"b":null}]}`, `{"c":[ null , {"d":null}]}`, `{"a":[null,{"b":null}],"c":[ null , {"d":null}]}`},
		{`{"n":10000000000000000000000.10,"m":-0,"e":1E400}`, `{"k":1.0}`, `{"e":1E400,"k":1.0,"m":-0,"n":10000000000000000000000.10}`},
		{` { "b" : 1 , "a" : [ 1 ] } `, "\t{\r\n}", `{"a":[ 1 ],"b":1}`},
		{`{"a":1,"b":2,"a":3}`, `{"c":1,"c":null}`, `{"a":3,"b":2}`},
		{`{"\u0061":1,"\/":2}`, `{"a":2,"/":null}`, `{"\u0061":2}`},
		{`{"\ud83d\ude00":1,"z":1}`, `{"😀":2}`, `{"z":1,"\ud83d\ude00":2}`},
		{`{"\ud83d":1,"\ude00":2}`, `{"\uD83D":null,"\\":"\ud800"}`, `{"\\":"\ud800","\ude00":2}`},
		{`{"\"\\\b\f\n\r\t":1}`, `{"\u0022\u005c\u0008\u000C\u000a\u000d\u0009":null}`, `{}`},
		{`{"":1}`, `{"":{"":null}}`, `{"":{}}`},
	}
	for _, test := range tests {
		got, err := sessions.MergePatch([]byte(test.target), []byte(test.patch))
		if string(got) != test.want || err != nil {
			t.Errorf("%s with %s:\n got %s, %v\nwant %s", test.target, test.patch, got, err, test.want)
		}
	}
}

func TestWhatIsNoJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	flat := func(n int) string { return "{" + strings.Repeat(`"a":0,`, n-1) + `"a":0}` }
	for _, doc := range []string{
		`{}`, `[]`, `""`, `0`, `-0.0e-0`, `true`, `false`, `null`, `[[],{"a":[{}]}]`, `"\u00e9é\ud800"`,
		deep(128), strings.Repeat("[", 128) + strings.Repeat("]", 128), flat(1 << 16), "[" + flat(1<<17) + "]",
	} {
		if _, err := sessions.Normal([]byte(doc)); err != nil {
			t.Errorf("%.100s: %v, want none", doc, err)
		}
	}
	for _, doc := range []string{
		``, ` `, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a":1 "b":2}`, `{1:2}`, `{"a":1}}`, `{} {}`, `{}x`,
		`[`, `]`, `[1,]`, `[,1]`, `[1 2]`, `"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"\xff\"", "{\"a\":\"\xc0\x80\"}",
		`01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x1`, `NaN`, `nul`, `True`, `'a'`, "\xef\xbb\xbf{}", "{}\x00", "\x00",
		deep(129), strings.Repeat("[", 129) + strings.Repeat("]", 129), flat(1<<16 + 1), strings.Repeat("[", 1<<20),
	} {
		if got, err := sessions.Normal([]byte(doc)); err == nil {
			t.Errorf("%.100q is taken for %.100q", doc, got)
		}
	}
}

// FuzzMergePatch compares with encoding/json and a merge as the RFC writes it.
func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":"b","c":{"d":[1,{}],"e":null}}`), []byte(`{"a":null,"c":{"d":1.50,"e":{"f":null}}}`))
	f.Add([]byte(`{"\ud83d\ude00":1,"a":"\ud800"}`), []byte(` {"a":1,"\u0061":-0.0e+1}`))
	f.Add([]byte(`[1e5,"\"\\"]`), []byte(`{"":{"":null}}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		before := [2][]byte{bytes.Clone(target), bytes.Clone(patch)}
		got, err := sessions.MergePatch(target, patch)
		if !bytes.Equal(target, before[0]) || !bytes.Equal(patch, before[1]) {
			t.Fatal("merging changed its input")
		}
		for _, doc := range before {
			if _, err := sessions.Normal(doc); err == nil != json.Valid(doc) && len(doc) < 100 && validUTF8(doc) {
				t.Fatalf("%q: %v, but encoding/json says valid is %v", doc, err, json.Valid(doc))
			}
		}
		if err != nil {
			return
		}
		if again, err := sessions.Normal(got); !bytes.Equal(again, got) || err != nil {
			t.Fatalf("%q is not what is made of it: %q, %v", got, again, err)
		}
		want := slowMerge(decode(t, target), decode(t, patch))
		if !reflect.DeepEqual(decode(t, got), want) && !bytes.Contains(bytes.ToLower(append(target, patch...)), []byte(`\ud`)) {
			t.Fatalf("%q with %q:\n got %q\nwant %v", target, patch, got, want)
		}
	})
}

func validUTF8(doc []byte) bool { return strings.ToValidUTF8(string(doc), "") == string(doc) }

func decode(t *testing.T, doc []byte) (v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%q: %v", doc, err)
	}
	return v
}

// slowMerge is the pseudocode of RFC 7396, section 2.
func slowMerge(target, patch any) any {
	changes, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	old, _ := target.(map[string]any)
	merged := map[string]any{}
	for name, v := range old {
		merged[name] = v
	}
	for name, v := range changes {
		if v == nil {
			delete(merged, name)
		} else {
			merged[name] = slowMerge(merged[name], v)
		}
	}
	return merged
}
