"""Regret, savings, pacing, drift and newcomers on real outcomes, through the engine that serves."""
