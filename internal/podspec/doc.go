// Package podspec has the parts that the pods of all kinds have in common. It is PURE.
package podspec
