"""Lists with identity, for senders: the only place where identity is joined."""
