"""Which streams flow, and which give way first when the network carries too little."""
