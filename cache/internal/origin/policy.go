package origin

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Policy is how long an answer may be kept (RFC 9111, RFC 5861) by a cache
// that many share.
type Policy struct {
	TTL     time.Duration // how long it is good; 0: not said
	Stale   time.Duration // how long after that it may be served while another one is fetched; 0: not said, below: not at all
	NoStore bool          // it is for those who wait for it, and nobody else
}

// never is the Stale of what must not be served after its time.
const never = -1

// policyOf reads Cache-Control, Age and Vary. Other fields say nothing here.
//
// s-maxage goes before max-age, and forbids stale values (RFC 9111, 5.2.2.10)
// unless stale-while-revalidate allows them.
func policyOf(h http.Header) Policy {
	said := directives(strings.Join(h.Values("Cache-Control"), ","))
	has := func(name string) bool { _, found := said[name]; return found }
	if has("no-store") || has("no-cache") || has("private") || h.Get("Vary") == "*" {
		return Policy{NoStore: true}
	}
	var p Policy
	switch {
	case has("must-revalidate"), has("proxy-revalidate"):
		p.Stale = never
	case has("stale-while-revalidate"):
		if p.Stale = seconds(said["stale-while-revalidate"]); p.Stale == 0 {
			p.Stale = never
		}
	case has("s-maxage"):
		p.Stale = never
	}
	lasts, isSaid := said["s-maxage"]
	if !isSaid {
		lasts, isSaid = said["max-age"]
	}
	if !isSaid {
		return p
	}
	return p.lasting(seconds(lasts) - seconds(h.Get("Age")))
}

// lasting is a policy with a time to live. What has none left is kept only
// where it may be stale: whoever asks next has it fetched again.
func (p Policy) lasting(ttl time.Duration) Policy {
	switch {
	case ttl > 0:
		p.TTL = ttl
	case p.Stale+ttl > 0:
		p.Stale, p.TTL = p.Stale+ttl, time.Millisecond
	default:
		return Policy{NoStore: true}
	}
	return p
}

// maxSeconds bounds times: what is longer is as good as for ever.
const maxSeconds = 10 * 365 * 24 * 60 * 60

// seconds reads a number of seconds. What is none is 0, as RFC 9111, 4.2.1 has
// it: the answer is stale.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(min(n, maxSeconds)) * time.Second
}

// directives reads the list of a Cache-Control field: names, in lower case, and
// what is said of them. Of those that come twice the first one counts.
func directives(list string) map[string]string {
	said := map[string]string{}
	for list != "" {
		var one string
		one, list = cutUnquoted(list)
		name, value, _ := strings.Cut(one, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, found := said[name]; !found {
			said[name] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return said
}

// cutUnquoted cuts a list at its first comma that is not between quotes.
func cutUnquoted(list string) (before, after string) {
	isQuoted, isEscaped := false, false
	for i := range len(list) {
		switch c := list[i]; {
		case isEscaped:
			isEscaped = false
		case isQuoted && c == '\\':
			isEscaped = true
		case c == '"':
			isQuoted = !isQuoted
		case c == ',' && !isQuoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}
