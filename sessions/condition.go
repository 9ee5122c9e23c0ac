package sessions

// A Condition is what must be so for a session to be saved or merged. The zero
// Condition always holds.
type Condition struct {
	kind    conditionKind
	version uint64
}

// A conditionKind has its number in the log.
type conditionKind uint8

const (
	isAny     conditionKind = 0
	isVersion conditionKind = 1
	isAbsent  conditionKind = 2
	isPresent conditionKind = 3
)

// AtVersion holds where v is the session's version. No session has version 0,
// which is that of one that does not exist: AtVersion(0) is [Absent].
func AtVersion(v uint64) Condition {
	if v == 0 {
		return Absent()
	}
	return Condition{kind: isVersion, version: v}
}

// Absent holds where there is no such session.
func Absent() Condition { return Condition{kind: isAbsent} }

// Present holds where there is one, at whatever version.
func Present() Condition { return Condition{kind: isPresent} }

// holds judges a session, nil where there is none.
func (c Condition) holds(s *session) bool {
	switch c.kind {
	case isVersion:
		return s != nil && s.version == c.version
	case isAbsent:
		return s == nil
	case isPresent:
		return s != nil
	default:
		return true
	}
}
