"""Mathematics only: functions of arrays, without networks and without state."""
