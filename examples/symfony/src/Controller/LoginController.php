<?php

declare(strict_types=1);

namespace App\Controller;

use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\RateLimiter\RateLimiterFactory;

/** Admits five attempts for each name in ten minutes, at whichever pods. */
final class LoginController
{
    private RateLimiterFactory $limiter;

    public function __construct(RateLimiterFactory $loginLimiter)
    {
        $this->limiter = $loginLimiter;
    }

    public function __invoke(Request $request): Response
    {
        $limit = $this->limiter->create((string) $request->request->get('name'))->consume();
        if (!$limit->isAccepted()) {
            return new JsonResponse(['error' => 'too many attempts'], Response::HTTP_TOO_MANY_REQUESTS);
        }

        return new JsonResponse(['remaining' => $limit->getRemainingTokens()]);
    }
}
