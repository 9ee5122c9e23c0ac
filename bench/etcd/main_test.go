//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestOrdersThatCannotBeCarriedOut(t *testing.T) {
	for _, test := range []struct{ order, want string }{
		{`{"op":"put"}`, "malformed order"},
		{`{"op":"sing","conns":1,"per_name":1,"keys":1,"value":1,"warm_up":0,"span":1}`, `unknown operation \"sing\"`},
	} {
		var out strings.Builder
		if err := run([]string{"127.0.0.1:1"}, strings.NewReader(test.order), &out); err != nil {
			t.Errorf("%s: %v", test.order, err)
		}
		if got := out.String(); !strings.Contains(got, `"failure":"`+test.want) {
			t.Errorf("%s: got %s, want the failure %s", test.order, got, test.want)
		}
	}
	for _, order := range []string{"{", `{"opp":"put"}`, "put"} {
		if err := run([]string{"127.0.0.1:1"}, strings.NewReader(order), new(strings.Builder)); err == nil {
			t.Errorf("%s: got no error, want one", order)
		}
	}
	if err := run(nil, strings.NewReader(""), new(strings.Builder)); err == nil {
		t.Error("no endpoints: got no error, want one")
	}
}
