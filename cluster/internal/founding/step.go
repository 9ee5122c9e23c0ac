package founding

import "fmt"

// Ask is a question to be sent.
type Ask struct {
	To       string // ID of a member of the list
	Question Question
}

// Effects is what the owner of a Core has to do, in the order of the fields.
// An Ask may be lost; the rest may not.
type Effects struct {
	Answer      *Answer  // to send to the asker; of Asked only
	Admitted    bool     // take the traffic; of Admit only
	Bootstrap   *List    // start Raft with this list as its first configuration, unless it has state already; a member without a vote starts empty
	Join        string   // the node is in this cluster now: start Raft without a configuration, unless it has state already
	Ask         []Ask    // send these
	Conflict    []string // more than one cluster ID is in sight: log it as an error, never bridge it
	NewIdentity bool     // throw this Core away, take a new identity, and start again
}

// Step is what follows from one event. Its effects are only to be had through
// After.
type Step struct {
	core    *Core
	save    []byte // nil if nothing has to be kept
	effects Effects
}

// step closes an event.
func (c *Core) step() Step {
	s := Step{core: c, effects: c.out}
	c.out = Effects{}
	if c.unsaved && c.cfg.Self.Durable && c.phase != gone {
		s.save = c.appendSaved(nil)
	}
	return s
}

// After returns the effects after what must outlive the process is kept: save
// is called at most once, only for a durable identity, and must return only
// when state is on disk. If it does not succeed there are no effects, above
// all no answer; the next step saves again, and what may not be lost comes
// with it. After must be called, once, before the next event.
func (s Step) After(save func(state []byte) error) (Effects, error) {
	if s.save != nil {
		if err := save(s.save); err != nil {
			s.core.out = Effects{
				Bootstrap: s.effects.Bootstrap, Join: s.effects.Join,
				Conflict: s.effects.Conflict, NewIdentity: s.effects.NewIdentity,
			}
			return Effects{}, fmt.Errorf("keeping the answers of founding: %w", err)
		}
	}
	s.core.unsaved = false
	s.core.shown = s.core.cluster
	return s.effects, nil
}
