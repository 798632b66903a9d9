"""Provider adapters: one wire format each. Know nothing of bandits or gRPC."""
