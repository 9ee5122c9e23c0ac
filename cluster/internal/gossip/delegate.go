package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// A delegate tells memberlist what we say of ourselves. Of its other messages
// none is used.
type delegate Gossip

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte { return *d.meta.Load() }

// NotifyMsg implements memberlist.Delegate.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// A logWriter gives memberlist's lines to our logger, all of them for
// debugging: most are about members that come and go.
type logWriter struct {
	logger *slog.Logger
}

func listLogger(logger *slog.Logger) *log.Logger {
	return log.New(logWriter{logger}, "", 0)
}

// Write implements io.Writer.
func (w logWriter) Write(line []byte) (int, error) {
	if w.logger.Enabled(context.Background(), slog.LevelDebug) {
		w.logger.Debug("memberlist", slog.String("line", string(bytes.TrimSpace(line))))
	}
	return len(line), nil
}
