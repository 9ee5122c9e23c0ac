package main

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The kinds of values that settings have. Each is read from text by kong, from
// a flag as from a variable, and its error says what would have been right.

// count is a number from 1 on. Zero is the default of what is not set.
type count int

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a number from 1 on", text)
	}
	*c = count(n)
	return nil
}

// port is a TCP or UDP port.
type port uint16

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *port) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a port from 1 to 65535", text)
	}
	*p = port(n)
	return nil
}

// size is a number of bytes.
type size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, found := strings.CutSuffix(number, suffix); found {
			number, unit = rest, bytes
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a size such as 512KiB, 8MiB or 1GiB", text)
	}
	*s = size(n * unit)
	return nil
}

// span is a duration, not below zero.
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration such as 500ms, 3s or 1m30s", text)
	}
	*s = span(d)
	return nil
}

// address is an IP address, invalid where none is set.
type address struct{ netip.Addr }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *address) UnmarshalText(text []byte) (err error) {
	if a.Addr, err = netip.ParseAddr(string(text)); err != nil {
		return fmt.Errorf("%q is not an IP address", text)
	}
	return nil
}

// level is how much is logged.
type level slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *level) UnmarshalText(text []byte) error {
	for name, value := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if name == string(text) {
			*l = level(value)
			return nil
		}
	}
	return fmt.Errorf("%q is not debug, info, warn or error", text)
}

// loaders are the URLs of groups of the cache.
type loaders struct{ urls map[string]string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *loaders) UnmarshalText(text []byte) error {
	urls := map[string]string{}
	for item := range strings.SplitSeq(string(text), ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		group, url, found := strings.Cut(item, "=")
		if _, isTwice := urls[group]; !found || isTwice {
			return fmt.Errorf("%q is not group=URL, or the group comes twice; a comma in a URL is %%2C", item)
		}
		urls[group] = url
	}
	l.urls = urls
	return nil
}

// parseKeys reads cluster keys as HUDDLE_KEY has them. Its error never shows
// what it was given.
func parseKeys(text string) ([][]byte, error) {
	if text == "" {
		return nil, nil
	}
	var keys [][]byte
	for item := range strings.SplitSeq(text, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(item))
		if err != nil || len(key) != keyLength {
			return nil, fmt.Errorf("not base64 of %d bytes; huddle keygen prints a key", keyLength)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
