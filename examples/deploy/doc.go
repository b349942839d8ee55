// Package deploy has what it takes to run Shoal elsewhere: an image and Compose files in docker, units in systemd, manifests in kubernetes and a chart
// in helm. Its tests hold them to the program, as far as that is possible without a cluster.
package deploy
