package counters

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SetHeaders tells the results of a call in an HTTP answer, for each limit:
//
//	RateLimit-Policy: "api";q=100;w=60
//	RateLimit: "api";r=42;t=17
//	Retry-After: 17
//
// as draft-ietf-httpapi-ratelimit-headers has them since its version 8: q is
// the limit, or a bucket's size, w the window, or the time in which the bucket
// fills, r what remains and t the seconds until all of it is there again.
// Retry-After is there only where the call was denied and can ever be admitted.
// Seconds are rounded up. What is no printable ASCII in a name is escaped as in
// a URL.
func SetHeaders(h http.Header, limits []Limit, results []Result) {
	policies, states := make([]string, len(limits)), make([]string, len(limits))
	for i, l := range limits {
		r := l.call().rule
		window := r.window
		if r.algorithm == TokenBucket {
			window = time.Duration(r.burst) * r.token()
		}
		name := quote(l.Name)
		policies[i] = name + ";q=" + strconv.FormatInt(r.capacity(), 10) + ";w=" + seconds(window)
		states[i] = name + ";r=" + strconv.FormatInt(results[i].Remaining, 10) + ";t=" + seconds(results[i].ResetAfter)
	}
	h.Set("RateLimit-Policy", strings.Join(policies, ", "))
	h.Set("RateLimit", strings.Join(states, ", "))
	if retry := RetryAfter(results); retry > 0 {
		h.Set("Retry-After", seconds(retry))
	}
}

// RetryAfter is when a call with these results should be repeated: zero if it
// was admitted, Never if one of the limits never has so much.
func RetryAfter(results []Result) (retry time.Duration) {
	for _, r := range results {
		if r.RetryAfter == Never {
			return Never
		}
		retry = max(retry, r.RetryAfter)
	}
	return retry
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(ceil(d, time.Second)), 10)
}

// quote writes a string of RFC 9651, which holds printable ASCII only.
func quote(s string) string {
	const hex = "0123456789ABCDEF"
	b := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c > '~' || c == '%':
			b = append(b, '%', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
