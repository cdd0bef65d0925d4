"""Work that other threads, processes or machines do: their models, and what is done when they die."""
