// Package listen turns listener URLs into listeners of MQTT connections: plain TCP, TLS, WebSocket, WebSocket over TLS and Unix
// sockets. Whatever the transport, what comes out is a net.Listener whose connections carry nothing but MQTT.
package listen
