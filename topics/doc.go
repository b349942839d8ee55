// Package topics knows TopicNames and TopicFilters: what makes one valid, which filter matches which name, and how to
// find the filters of a name or the names of a filter among very many.
//
//   - [ValidateName], [ValidateFilter] and [ParseShare] check what a client sent.
//   - [Match] compares one filter with one name.
//   - [Index] finds the values whose filters match a name: subscriptions, routes.
//   - [Names] finds the names that a filter matches: retained messages.
//
// Names and filters are compared byte for byte, without any normalisation [MQTT-4.7.3-4]. A level is what stands
// between two slashes and may be empty, so "/a" has two levels and does not match "a". A name that begins with '$' is
// matched by no filter that begins with a wildcard [MQTT-4.7.2-1]. Clause names are those of MQTT 5.0.
//
// # Cost
//
// Index keeps filters without a wildcard in sharded hash tables and the others in one trie, whose nodes carry as many
// levels as they can and exist only where filters part. A match visits every trie node at most once, whatever the
// filters are: its work is bounded by the bytes of the wildcard filters that share a beginning with the name, never
// by a power of its number of levels. Names is a balanced tree in the order of the levels, copied on write; a match
// seeks from one candidate to the next and does at most two seeks per name stored. Neither recurses per level, except
// for the trie where a literal level and '+' both go on; the depth is then bounded by the number of filters too.
//
// Names and filters of 65,535 slashes are thus safe. How many filters one client may hold is for the caller to bound.
package topics
