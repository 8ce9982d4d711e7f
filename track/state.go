package track

// State is one end's connection state, by its RFC 9293 §3.3.2 name.
//
// A capture shows what each end sent, not what reached it or what its program
// asked for. So a State claims only what the end's own segments prove, with one
// presumption: that a captured acknowledgment arrived, unless the end
// contradicts it. An end whose peer has sent FIN is ESTABLISHED until it
// acknowledges that FIN, and an end that vanished before it could is never
// mistaken for one in CLOSE_WAIT.
type State uint8

// The states of RFC 9293 §3.3.2.
const (
	Unknown     State = iota // nothing proved yet
	Closed                   // holds no such connection
	Listen                   // presumed of an end that has not spoken
	SynSent                  // sent SYN
	SynReceived              // sent SYN,ACK
	Established              // its SYN and its peer's are acknowledged
	FinWait1                 // sent FIN
	FinWait2                 // its FIN is acknowledged
	CloseWait                // acknowledged its peer's FIN
	Closing                  // sent FIN, then acknowledged its peer's
	LastAck                  // acknowledged its peer's FIN, then sent its own
	TimeWait                 // sent FIN unprompted; both FINs are acknowledged
	numStates
)

var stateNames = [numStates]string{
	Unknown: "UNKNOWN", Closed: "CLOSED", Listen: "LISTEN",
	SynSent: "SYN_SENT", SynReceived: "SYN_RCVD", Established: "ESTABLISHED",
	FinWait1: "FIN_WAIT_1", FinWait2: "FIN_WAIT_2", CloseWait: "CLOSE_WAIT",
	Closing: "CLOSING", LastAck: "LAST_ACK", TimeWait: "TIME_WAIT",
}

// String returns the RFC's name with underscores, as netstat has it: "FIN_WAIT_1".
func (s State) String() string { return stateNames[s] }

// States is a set of states.
type States uint16

// Add returns the set with s in it.
func (t States) Add(s State) States { return t | 1<<s }

// Has reports whether s is in the set.
func (t States) Has(s State) bool { return t&(1<<s) != 0 }

// List returns the states of the set, in the order of their declaration.
func (t States) List() []State {
	var l []State
	for s := range numStates {
		if t.Has(s) {
			l = append(l, s)
		}
	}
	return l
}
