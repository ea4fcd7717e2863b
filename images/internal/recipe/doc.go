// Package recipe says what each development image is made of. It is data: a
// further image is a further entry in table.go.
package recipe
