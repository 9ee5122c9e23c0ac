package cluster

import (
	"encoding/binary"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// Kinds of message between nodes. The bodies are drawn above the types below;
// all but those of founding begin with the cluster ID (string), and a node of
// another cluster answers statusElsewhere.
const (
	kindPropose uint8 = 1  // commands for the leader's log
	kindQuery   uint8 = 2  // linearizable reads
	kindConfirm uint8 = 3  // does the asked voter know of a later term?
	kindOpen    uint8 = 4  // an origin for the sender
	kindFound   uint8 = 5  // founding: a list, and the answer to it
	kindJoin    uint8 = 6  // the sender wants to be a member
	kindLeave   uint8 = 7  // the sender wants to be one no more
	kindStatus  uint8 = 8  // how far are you
	kindAge     uint8 = 9  // how long have you had your identity (uvarint, nanoseconds)
	kindFeature uint8 = 10 // a feature asks the same one on another node
)

// Statuses of an answer. All but done and lost say that nothing of this
// attempt was or will be applied.
const (
	statusDone       uint8 = 0
	statusNotLeader  uint8 = 1
	statusOverloaded uint8 = 2
	statusElsewhere  uint8 = 3
	statusLost       uint8 = 4 // the outcome of this attempt is not known
	statusMalformed  uint8 = 5
	statusNotMember  uint8 = 6
)

// proposeRequest is a batch with the queries that are to be answered after it:
//
//	cluster string, batch byte string, queries
//
// where queries are: count uvarint, each feature 1 byte, data byte string.
type proposeRequest struct {
	cluster string
	batch   []byte
	queries []replica.Query
}

func (m *proposeRequest) append(b []byte) []byte {
	b = wire.AppendBytes(wire.AppendString(b, m.cluster), m.batch)
	return appendQueries(b, m.queries)
}

func parsePropose(body []byte) (m proposeRequest, err error) {
	r := wire.NewReader(body)
	m.cluster, m.batch = r.String(), r.Bytes()
	m.queries = parseQueries(r)
	return m, r.Done()
}

func appendQueries(b []byte, queries []replica.Query) []byte {
	b = binary.AppendUvarint(b, uint64(len(queries)))
	for _, q := range queries {
		b = wire.AppendBytes(append(b, q.Feature), q.Data)
	}
	return b
}

func parseQueries(r *wire.Reader) []replica.Query {
	queries := make([]replica.Query, r.Count(2))
	for i := range queries {
		queries[i] = replica.Query{Feature: r.Byte(), Data: r.Bytes()}
	}
	return queries
}

// answer is what the leader answers to a batch, to queries, or to both:
//
//	status  1 byte; the rest only if done
//	outcome 1 byte: of the batch (replica.Outcome)
//	stamp   index uvarint, lease 8 bytes, wall 8 bytes, level uvarint
//	replies to the batch, then to the queries: count uvarint, each error 1 byte, data byte string
type answer struct {
	status  uint8
	outcome replica.Outcome
	stamp   machine.Stamp
	replies []machine.Reply
	queried []machine.Reply
}

func (m *answer) append(b []byte) []byte {
	b = append(b, m.status)
	if m.status != statusDone {
		return b
	}
	b = appendStamp(append(b, byte(m.outcome)), m.stamp)
	return appendReplies(appendReplies(b, m.replies), m.queried)
}

func parseAnswer(cluster string, body []byte) (m answer, err error) {
	r := wire.NewReader(body)
	if m.status = r.Byte(); m.status != statusDone {
		return m, r.Err()
	}
	m.outcome = replica.Outcome(r.Byte())
	m.stamp = parseStamp(r)
	m.stamp.Cluster = cluster
	m.replies, m.queried = parseReplies(r), parseReplies(r)
	return m, r.Done()
}

func appendStamp(b []byte, s machine.Stamp) []byte {
	b = binary.AppendUvarint(b, s.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Lease))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Wall))
	return binary.AppendUvarint(b, uint64(s.Level))
}

func parseStamp(r *wire.Reader) machine.Stamp {
	s := machine.Stamp{Index: r.Uvarint()}
	s.Lease, s.Wall = time.Duration(r.Uint64()), time.Duration(r.Uint64())
	s.Level = uint32(r.Uvarint())
	return s
}

func appendReplies(b []byte, replies []machine.Reply) []byte {
	b = binary.AppendUvarint(b, uint64(len(replies)))
	for _, reply := range replies {
		b = replica.AppendReply(b, reply)
	}
	return b
}

func parseReplies(r *wire.Reader) []machine.Reply {
	replies := make([]machine.Reply, r.Count(2))
	for i := range replies {
		replies[i] = replica.ParseReply(r)
	}
	return replies
}

// queryRequest is linearizable reads:
//
//	cluster string, queries
type queryRequest struct {
	cluster string
	queries []replica.Query
}

func (m *queryRequest) append(b []byte) []byte {
	return appendQueries(wire.AppendString(b, m.cluster), m.queries)
}

func parseQuery(body []byte) (m queryRequest, err error) {
	r := wire.NewReader(body)
	m.cluster = r.String()
	m.queries = parseQueries(r)
	return m, r.Done()
}

// confirmRequest asks a voter whether it knows of a later term than the
// leader's; confirmAnswer is what it knew when it was asked. The round is the
// leader's number of the question; answers to another round, of another voter
// or cluster are dropped.
//
//	cluster string, round uvarint, asked string, term uvarint
//	cluster string, round uvarint, asked string, term uvarint, wall 8 bytes
type confirmRequest struct {
	cluster string
	round   uint64
	asked   string
	term    uint64
}

type confirmAnswer struct {
	confirmRequest
	wall time.Duration // the voter's own wall clock
}

func (m *confirmRequest) append(b []byte) []byte {
	b = binary.AppendUvarint(wire.AppendString(b, m.cluster), m.round)
	return binary.AppendUvarint(wire.AppendString(b, m.asked), m.term)
}

func readConfirm(r *wire.Reader) confirmRequest {
	return confirmRequest{cluster: r.String(), round: r.Uvarint(), asked: r.String(), term: r.Uvarint()}
}

func parseConfirm(body []byte) (confirmRequest, error) {
	r := wire.NewReader(body)
	m := readConfirm(r)
	return m, r.Done()
}

func (m *confirmAnswer) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(m.confirmRequest.append(b), uint64(m.wall))
}

func parseConfirmAnswer(body []byte) (m confirmAnswer, err error) {
	r := wire.NewReader(body)
	m.confirmRequest = readConfirm(r)
	m.wall = time.Duration(r.Uint64())
	return m, r.Done()
}

// openRequest asks for an origin; the answer is a status and the origin.
//
//	cluster string, nonce 8 bytes, durable 1 byte
//	status 1 byte, origin uvarint
type openRequest struct {
	cluster   string
	nonce     uint64
	isDurable bool
}

func (m *openRequest) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(wire.AppendString(b, m.cluster), m.nonce)
	return wire.AppendBool(b, m.isDurable)
}

func parseOpen(body []byte) (m openRequest, err error) {
	r := wire.NewReader(body)
	m.cluster, m.nonce, m.isDurable = r.String(), r.Uint64(), r.Bool()
	return m, r.Done()
}

// joinRequest asks the leader to add the sender, or with kindLeave to remove a
// server. The answer is a status; with statusDone the cluster ID follows it,
// with statusNotLeader the leader's ID, as far as it is known, and else words.
//
//	cluster string: empty where any will do, new 1 byte, target string
//	status 1 byte, value string
type joinRequest struct {
	cluster string
	isNew   bool   // the sender has no entry of any log
	target  string // who is to be removed
}

func (m *joinRequest) append(b []byte) []byte {
	b = wire.AppendBool(wire.AppendString(b, m.cluster), m.isNew)
	return wire.AppendString(b, m.target)
}

func parseJoin(body []byte) (m joinRequest, err error) {
	r := wire.NewReader(body)
	m.cluster, m.isNew, m.target = r.String(), r.Bool(), r.String()
	return m, r.Done()
}

type joinAnswer struct {
	status uint8
	value  string
}

func (m *joinAnswer) append(b []byte) []byte {
	return wire.AppendString(append(b, m.status), m.value)
}

func parseJoinAnswer(body []byte) (m joinAnswer, err error) {
	r := wire.NewReader(body)
	m.status, m.value = r.Byte(), r.String()
	return m, r.Done()
}

// statusAnswer says how far a node is:
//
//	cluster string, lastTerm uvarint, last uvarint, applied uvarint, contact
//	uvarint (nanoseconds), leader string, quorum 1 byte
type statusAnswer struct {
	cluster  string
	lastTerm uint64 // of the last log entry
	last     uint64 // index of the last log entry
	applied  uint64
	contact  time.Duration // since the leader was heard; the longest there is if never
	leader   string
	quorum   bool // it leads or hears a leader
}

func (m *statusAnswer) append(b []byte) []byte {
	b = wire.AppendString(b, m.cluster)
	b = binary.AppendUvarint(b, m.lastTerm)
	b = binary.AppendUvarint(b, m.last)
	b = binary.AppendUvarint(b, m.applied)
	b = binary.AppendUvarint(b, uint64(m.contact))
	return wire.AppendBool(wire.AppendString(b, m.leader), m.quorum)
}

func parseStatus(body []byte) (m statusAnswer, err error) {
	r := wire.NewReader(body)
	m.cluster, m.lastTerm, m.last, m.applied = r.String(), r.Uvarint(), r.Uvarint(), r.Uvarint()
	m.contact, m.leader, m.quorum = time.Duration(r.Uvarint()), r.String(), r.Bool()
	return m, r.Done()
}
