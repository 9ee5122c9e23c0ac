package redis

// BoundTracking makes the server remember fewer keys than it would.
func (s *Server) BoundTracking(items, bytes int) {
	s.tracking.mu.Lock()
	defer s.tracking.mu.Unlock()
	s.tracking.most.items, s.tracking.most.bytes = items, bytes
}
