// Package decide says what to do about an AppStack: which part is made, which one waits for which, what is told. It is
// pure.
//
// The parts are a graph. A part is made once those that it needs are ready; from then on it is looked after whatever
// becomes of the others. A part that goes is taken away after those that need it.
package decide
