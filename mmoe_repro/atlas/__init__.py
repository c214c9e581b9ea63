"""The atlas: many settings of what the paper leaves open, and which choice each of its findings hangs on."""
