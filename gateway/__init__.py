"""The gateway: from the links to the durable spool and on to the sinks."""
