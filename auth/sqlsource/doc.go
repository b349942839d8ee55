// Package sqlsource is what package auth/mysql and package auth/postgres have in common: a source of
// users and rules in tables of an SQL database.
//
// # Queries
//
// Tables describes queries; or they are given as they are. In them ${name} stands for the user name or
// client ID that is asked for. It is always bound as a parameter, never put into the text. The columns
// of the result have meanings by their names.
//
// A query for users:
//
//   - password: the stored hash. Required.
//   - name: if there is such a column, only a row with exactly the name that was asked for is used.
//     Databases compare texts more leniently: without regard to case, accents or blanks at the end.
//   - salt: beside the hash, for formats that have such.
//   - allow: whether the user may connect; NULL, 0 and false mean no. Without the column: yes.
//   - superuser: whether the user may do everything.
//   - every other column is an attribute of the user, unless it is NULL.
//
// A query for rules; its rows are in the order in which the rules count, where that matters:
//
//   - topic: the filter, with the placeholders of package auth/acl. Required.
//   - access: comqtt's access number, see acl.FromNumber. Or instead of it
//   - permission, allow or deny, and action, publish, subscribe or both, and, if wanted, qos, numbers
//     with commas between them, and retain, a boolean. NULL means all.
//   - name: as above.
//
// Rules that cannot be understood deny, and are logged.
package sqlsource
