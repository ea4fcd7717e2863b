package mysqld

import (
	"encoding/json"
	"fmt"
)

// Annotations of a pod by which the member and the operator talk. They change only when something happens.
const (
	// AnnotationMember is a Member, written by the member.
	AnnotationMember = "caretaker.dev/mysql-member"
	// AnnotationBegin is the run that shall begin a group, written by the operator.
	AnnotationBegin = "caretaker.dev/mysql-begin"
)

// State of a member.
type State string

// The states of a member.
const (
	// StateStarting: the server does not answer yet.
	StateStarting State = "Starting"
	// StateWaiting: it is in no group, and knows no member that is.
	StateWaiting State = "Waiting"
	// StateJoining: it catches up with its group.
	StateJoining State = "Joining"
	// StateOnline: it serves as its role should.
	StateOnline State = "Online"
	// StateFailed: it cannot go on without help; Message says why.
	StateFailed State = "Failed"
)

// Member is what a member says of itself.
type Member struct {
	// Run differs for each start of the server.
	Run string `json:"run"`
	// State in one word.
	State State `json:"state"`
	// Role, primary or replica, while online.
	Role string `json:"role,omitempty"`
	// GTIDs that it has, while waiting.
	GTIDs string `json:"gtids,omitempty"`
	// Version of the server.
	Version string `json:"version,omitempty"`
	// Message for people.
	Message string `json:"message,omitempty"`
}

// Encode is the annotation's value.
func (m Member) Encode() string {
	encoded, err := json.Marshal(m)
	if err != nil {
		panic(err) // plain strings
	}

	return string(encoded)
}

// DecodeMember reads the annotation's value; an empty one is a member that has not said anything yet.
func DecodeMember(value string) (Member, error) {
	var m Member
	if value == "" {
		return m, nil
	}

	if err := json.Unmarshal([]byte(value), &m); err != nil {
		return m, fmt.Errorf("decode member: %w", err)
	}

	return m, nil
}
