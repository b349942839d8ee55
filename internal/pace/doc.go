// Package pace tells how long publishers are to be held back for the sake of a subscriber whose queue is full, and
// holds back what is held.
//
// A queue that is full takes more as long as whoever empties it gets on, and the publishers of what is too much are
// answered only when that much is likely to have left. So publishers, who may have only so many messages unanswered, become as
// fast as the subscriber is. Nobody waits for a subscriber that has stopped, nor for one that would need longer
// than Patience. The delays are computed, not waited out: nothing must come back for a publisher to be
// answered, so that no chain of clients that wait for each other can stand still.
package pace
