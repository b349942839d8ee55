// Package acl decides by rules what a client may publish and subscribe to.
//
// A Rule allows or denies publishing, subscribing or both on the topics of a filter, perhaps for
// some QoS or for retained messages only. Compile checks a list of rules, List.For puts a client's
// names into it, and Access.Decide answers. Topics are matched as package topics does for
// subscriptions, so "a/b" says nothing of "a/b/c", and "#" nothing of "$SYS/a".
//
// # Subscriptions
//
// A subscription is allowed if one rule's filter covers it: every topic that it may get messages
// from. It is denied if a denying rule that comes before has any topic in common with it. So with
// "secret/#" denied and "#" allowed, "#" cannot be subscribed to, since secrets would arrive by it.
// A shared subscription is judged by the filter that its group subscribes to.
//
// # Which rule decides
//
// The Order says in which order the rules are asked; the first that decides has decided:
//
//   - DenyWins, the default: all denying rules before all that allow.
//   - AsWritten: as they are in the list.
//   - LongestWins: by the length of their filters, longest first, as comqtt does; a denying rule
//     before others of the same length.
//
// If none decides, Decide returns NoMatch, which should mean that the client may not.
//
// # Placeholders
//
// In a filter, %u is the name of the principal, %c the client ID and %{name} an attribute of the
// client, such as a claim of its token. %% is a percent sign. Values are put in as they are, once.
// A value that could change what the filter reaches is never put in: one that is empty, or contains
// '/', '+' or '#', or begins a filter with '$'. An allowing rule then allows nothing, and a denying
// rule denies all that it could deny with any value: "a/%c/b" denies "a/#".
//
// A client chooses its client ID itself, unless the authenticator checks it: rules with %c
// keep the topics of clients apart, not of people.
package acl
