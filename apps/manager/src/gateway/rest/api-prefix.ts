/** Where the REST API begins, without slashes at its ends. */
export const API_PREFIX = 'api/v1';
