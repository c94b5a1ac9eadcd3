"""What owners of a store run: publish trained nets, verify them, write their cards."""
