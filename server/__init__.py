"""The gRPC service: the only part that knows both the learning core and the adapters."""
