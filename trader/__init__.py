"""The live process, one per account, and its replay: the same ``engine.step`` over live or recorded inputs."""
