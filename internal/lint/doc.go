// Package lint tests the tree itself: what the compiler and vet do not see, and a
// reader would trip over.
package lint
