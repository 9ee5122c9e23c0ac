package cache

// allows reports whether an entry is known to be good still, whether it is
// stored or not.
func (s *store) allows(p place, e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.memory.link(p.group, e)
	defer s.memory.unlink(v)
	return !s.memory.isOutdated(p, v)
}
