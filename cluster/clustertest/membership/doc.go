// Package membership has tests of clusters whose nodes come and go: they are added, replaced, removed, drained, upgraded, and lost one after another.
package membership
