// Package lint tests the sources and documents of the repository for what the
// compiler and vet do not check.
package lint
