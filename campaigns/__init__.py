"""Templates, journeys and the engine that carries people through them."""
