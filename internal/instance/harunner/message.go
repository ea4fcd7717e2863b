package harunner

import (
	"encoding/json"
	"fmt"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

// Envelope is a message on its way.
type Envelope struct {
	From ha.Instance `json:"from"`
	// To is the member ID's name that it is meant for: a peer that got another's address drops it.
	To string `json:"to"`
	// Address of the sender, for answers; empty if it is reached by name.
	Address string          `json:"address,omitempty"`
	Kind    string          `json:"kind"`
	Body    json.RawMessage `json:"body"`
}

// Kinds of messages.
const (
	kindHeartbeat      = "Heartbeat"
	kindHeartbeatReply = "HeartbeatReply"
	kindAsk            = "Ask"
	kindAskReply       = "AskReply"
	kindPledge         = "PledgeReport"
	kindRelease        = "Release"
	kindWrote          = "Wrote"
)

func kindOf(m ha.Message) string {
	switch m.(type) {
	case ha.Heartbeat:
		return kindHeartbeat
	case ha.HeartbeatReply:
		return kindHeartbeatReply
	case ha.Ask:
		return kindAsk
	case ha.AskReply:
		return kindAskReply
	case ha.PledgeReport:
		return kindPledge
	case ha.Release:
		return kindRelease
	case ha.Wrote:
		return kindWrote
	default:
		return ""
	}
}

// Encode puts a message into an envelope.
func Encode(from ha.Instance, to, address string, m ha.Message) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}

	content, err := json.Marshal(Envelope{From: from, To: to, Address: address, Kind: kindOf(m), Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}

	return content, nil
}

// Decode takes a message out of its envelope.
func Decode(content []byte) (Envelope, ha.Message, error) {
	var e Envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return e, nil, fmt.Errorf("decode a message: %w", err)
	}

	switch e.Kind {
	case kindHeartbeat:
		return decoded[ha.Heartbeat](e)
	case kindHeartbeatReply:
		return decoded[ha.HeartbeatReply](e)
	case kindAsk:
		return decoded[ha.Ask](e)
	case kindAskReply:
		return decoded[ha.AskReply](e)
	case kindPledge:
		return decoded[ha.PledgeReport](e)
	case kindRelease:
		return decoded[ha.Release](e)
	case kindWrote:
		return decoded[ha.Wrote](e)
	default:
		return e, nil, fmt.Errorf("decode a message: unknown kind %q", e.Kind)
	}
}

func decoded[T ha.Message](e Envelope) (Envelope, ha.Message, error) {
	var m T
	if err := json.Unmarshal(e.Body, &m); err != nil {
		return e, nil, fmt.Errorf("decode a %s: %w", e.Kind, err)
	}

	return e, m, nil
}
