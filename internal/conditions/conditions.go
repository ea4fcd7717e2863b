package conditions

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The condition types of every kind.
const (
	TypeReady       = "Ready"
	TypeReconciling = "Reconciling"
	TypeStalled     = "Stalled"
)

// maxMessage is what the API server accepts at most, in bytes.
const maxMessage = 32768

// Kind of an Outcome.
type Kind int

// The kinds of outcome.
const (
	// Done: everything is as it was asked for.
	Done Kind = iota
	// Waiting: something is under way and will go on by itself.
	Waiting
	// Resting: nothing is under way and nothing is wrong, yet the object is not ready, because the user wants it so.
	Resting
	// Stalled: nothing goes on until the user acts.
	Stalled
)

// Outcome is how a pass ended.
type Outcome struct {
	Kind Kind
	// Reason is one word in CamelCase, for machines.
	Reason string
	// Message says to people what is waited for, or what is wrong and what to do.
	Message string
}

// Writer writes conditions of one generation at one moment.
type Writer struct {
	Conditions *[]metav1.Condition
	Generation int64
	Now        time.Time
}

// Set sets one condition.
func (w Writer) Set(conditionType string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}

	meta.SetStatusCondition(w.Conditions, metav1.Condition{
		Type:               conditionType,
		Status:             status,
		Reason:             reason,
		Message:            message,
		ObservedGeneration: w.Generation,
		LastTransitionTime: metav1.NewTime(w.Now),
	})
}

// Remove removes a condition.
func (w Writer) Remove(conditionType string) {
	meta.RemoveStatusCondition(w.Conditions, conditionType)
}

// Copy sets a condition as somebody else tells it, and removes it where that is nil.
func (w Writer) Copy(conditionType string, told *metav1.Condition) {
	if told == nil {
		w.Remove(conditionType)
	} else {
		w.Set(conditionType, told.Status, told.Reason, told.Message)
	}
}

// Summarize sets Ready, Reconciling and Stalled from an outcome. Ready is printed in a column, and has the message in brief.
func (w Writer) Summarize(outcome Outcome) {
	ready, message := metav1.ConditionFalse, outcome.Message

	switch outcome.Kind {
	case Done:
		ready = metav1.ConditionTrue
	case Stalled:
		message = "Stalled: " + outcome.Message
	case Waiting, Resting:
	}

	w.Set(TypeReady, ready, outcome.Reason, brief(message))
	w.present(TypeReconciling, outcome.Kind == Waiting, outcome)
	w.present(TypeStalled, outcome.Kind == Stalled, outcome)
}

//nolint:revive // the flag is the fact that is written, not a mode
func (w Writer) present(conditionType string, holds bool, outcome Outcome) {
	if !holds {
		w.Remove(conditionType)

		return
	}

	w.Set(conditionType, metav1.ConditionTrue, outcome.Reason, outcome.Message)
}
